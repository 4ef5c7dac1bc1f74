// What the control socket can ask of a running needletail.
import Dataplane
import Policy

/// Answers for the socket. Methods are called on the control server's tasks, several at a time; none may take long, and
/// none may touch what a worker or the slow path owns except through messages to it.
public protocol ControlBackend: Sendable {
    func status() async -> StatusReport
    func summary() async -> ForwardingSummary
    func ports() async -> [PortReport]
    /// Ports, VLANs and PPPoE sessions.
    func interfaces() async -> [InterfaceReport]
    /// At most `limit` flows, those with the most packets first.
    func flows(limit: Int) async -> [FlowReport]
    func connections(limit: Int) async -> [ConnectionReport]
    func offload() async -> OffloadReport
    /// Up to `limit` lines of the packet log from number `first` on; nil: the last ones.
    func logLines(from first: Int?, limit: Int) async -> [LogLine]
    /// The configuration in force, as TOML with every default written out.
    func configuration() async -> String
    func nft(_ request: NftRequest) async -> CommandResult
    /// Waits some seconds for changes of the ruleset.
    func changes(_ request: NftMonitorRequest) async -> NftMonitorReport
    /// Reads the ruleset file again; exit code 1 and the diagnostics if it is wrong, and nothing changed.
    func reload() async -> CommandResult
    /// Begins an orderly stop; returns at once.
    func stop() async
}
