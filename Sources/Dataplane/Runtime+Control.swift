// What the control socket asks of the running router.
import Configuration
import DPDK
import Ruleset
import SlowPath

extension Runtime {
    public func flows(limit: Int) async -> [FlowReport] { [] }
    public func connections(limit: Int) async -> [ConnectionReport] { [] }
    public func configuration() async -> String { "" }
    public func nft(_ request: NftRequest) async -> CommandResult { CommandResult() }
    public func reload() async -> CommandResult { CommandResult() }
}
