// Configurations for the tests, and short ways to ask for their problems.
@testable import Configuration

func parse(_ text: String, files: Set<String> = ["rules.nft"]) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(text, file: "test.toml", fileExists: { files.contains($0) })
}

/// The messages of everything wrong with the text; empty if nothing is.
func problems(_ text: String) -> [String] {
    do throws(ConfigurationError) {
        _ = try parse(text)
        return []
    } catch {
        return error.problems.map(\.description)
    }
}

enum Sample {
    /// The smallest configuration that is right; 3 lines.
    static let minimal = """
        [[port]]
        name = "r0"
        device = "net_null0"

        """

    static let full = """
        seed = 7

        [eal]
        main-core = 0
        slow-path-core = 0
        worker-cores = [1]
        huge-pages = false
        memory-mb = 512

        [[port]]
        name = "r0"
        device = "net_af_packet0,iface=r0"
        addresses = ["10.0.1.1/24", "fd00:1::1/64"]

        [[port]]
        name = "r1"
        device = "0000:3b:00.1"
        addresses = ["10.0.2.1/24", "fd00:2::1/64"]
        emulate-offload = "full"
        mac = "02:00:00:00:0b:01"

        [routing]
        source = "static"

        [[routing.route]]
        to = "0.0.0.0/0"
        via = "10.0.2.2"

        [[routing.route]]
        to = "::/0"
        via = "fd00:2::2"

        [[routing.route]]
        to = "192.168.0.0/16"
        kind = "unreachable"
        metric = 9

        [[routing.neighbour]]
        port = "r0"
        address = "10.0.1.2"
        mac = "02:00:00:00:0a:02"

        [ruleset]
        file = "rules.nft"

        [conntrack.timeout]
        udp = 10

        [control]
        socket = "needletail.sock"
        """
}
