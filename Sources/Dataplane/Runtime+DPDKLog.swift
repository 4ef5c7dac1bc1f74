// What DPDK and its drivers log while the router runs, told in the program's own log: looked at once a second, off the packet path.
//
// Overload: DPDK's buffer keeps the newest 64 kB, and of one look at most so many lines are told; what was lost or left out is said in a line of its own.
import Configuration
import DPDK
import Logging

extension Runtime {
    /// Ends when its task is cancelled.
    func followDPDKLog() async {
        var relay = DPDKLogRelay()
        while (try? await Task.sleep(for: .seconds(1))) != nil { relay.relay(to: logger) }
    }
}

struct DPDKLogRelay {
    static var linesAtOnce: Int { 50 }
    private var lost = EAL.lostLogBytes

    /// Tells everything that was logged since the last look, by whomever.
    mutating func relay(to logger: Logger) {
        let now = EAL.lostLogBytes
        if now != lost { logger.warning("DPDK logged \(now - lost) bytes more than could be kept") }
        lost = now
        let lines = EAL.takeLogLines()
        for line in lines.prefix(Self.linesAtOnce) { logger.log(level: Logger.Level(line.level), "DPDK: \(line.text)") }
        if lines.count > Self.linesAtOnce { logger.warning("DPDK logged \(lines.count - Self.linesAtOnce) lines more") }
    }

    /// What DPDK is asked to log: warnings, and more where everything is wanted to be known.
    static func level(for level: Configuration.LogLevel) -> EALConfiguration.LogLevel {
        switch level {
        case .trace: .debug
        case .debug: .info
        default: .warning
        }
    }
}

extension Logger.Level {
    fileprivate init(_ level: EALConfiguration.LogLevel) {
        switch level {
        case .emergency, .alert, .critical: self = .critical
        case .error: self = .error
        case .warning: self = .warning
        case .notice: self = .notice
        case .info: self = .info
        case .debug: self = .debug
        }
    }
}
