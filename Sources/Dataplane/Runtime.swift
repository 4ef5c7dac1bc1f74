// The running router: cores, ports and everything on them, from start to an orderly stop.
import Configuration
import DPDK
import Logging

public final class Runtime: Sendable {
    /// Starts the EAL, opens the ports, loads the ruleset. Nothing is forwarded before `run`.
    /// - Throws: `InputError` for a ruleset that does not load, `DPDKError` for what the machine cannot do.
    public init(configuration: Configuration, logger: Logger) throws {
        throw DPDKError(.state, "run is not connected to the data plane in this build")
    }

    /// Forwards packets until `stop`, closes everything, and gives the totals.
    public func run() async throws -> ForwardingSummary { ForwardingSummary() }

    /// Makes `run` return soon; may be called from anywhere, more than once.
    public func stop() async {}

    public func status() async -> StatusReport { StatusReport() }
    public func summary() async -> ForwardingSummary { ForwardingSummary() }
    public func ports() async -> [PortReport] { [] }
    public func flows(limit: Int) async -> [FlowReport] { [] }
    public func connections(limit: Int) async -> [ConnectionReport] { [] }
    public func offload() async -> OffloadReport { OffloadReport() }
    public func configuration() async -> String { "" }
    public func nft(_ request: NftRequest) async -> CommandResult { CommandResult() }
    public func reload() async -> CommandResult { CommandResult() }
}
