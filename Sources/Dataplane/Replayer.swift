// Captures through the whole pipeline, on the captures' own clock.
import Configuration
import DPDK

public enum Replayer {
    /// Feeds the captures to the ports, writes what the ports send, and gives the totals.
    /// - Throws: `InputError` for a ruleset or a capture that cannot be used, `DPDKError` for what the machine cannot do.
    public static func run(configuration: Configuration, options: ReplayOptions) throws -> ForwardingSummary {
        throw DPDKError(.state, "replay is not connected to the data plane in this build")
    }
}
