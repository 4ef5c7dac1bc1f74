// What the rules have logged, for the control socket.
import Policy
import SlowPath

extension Runtime {
    /// Up to `limit` lines of the packet log from number `first` on; nil: the last ones.
    public func logLines(from first: Int?, limit: Int) async -> [LogLine] {
        await perform { core in core.path.pointee.logLines(from: first, limit: limit) }
    }
}
