// The command: argument parsing and wiring only.
import ArgumentParser
import Dataplane
import Foundation

@main
struct Needletail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "needletail",
        abstract: "A stateful line-rate forwarder, firewall and NAT gateway.",
        discussion: """
            Takes an nftables ruleset and a configuration, and forwards packets by them on DPDK. Established flows take \
            a flow cache past the ruleset, invisibly, and the NIC where it can.

            Exit codes: 0 success, 1 the input is wrong, 2 the machine cannot do it, 64 the command line is wrong.
            """,
        version: Version.text,
        subcommands: [RunCommand.self, ReplayCommand.self, Check.self, Show.self, ReloadCommand.self, LogCommand.self, Bench.self, NFT.self])

    /// Under the name `nft` the whole command line is nft's; so is what follows `needletail nft`.
    static func main() async {
        let words = CommandLine.arguments
        let name = words.first?.split(separator: "/").last ?? ""
        if name == "nft" { Foundation.exit(NFT.run(Array(words.dropFirst()))) }
        if words.count > 1, words[1] == "nft" { Foundation.exit(NFT.run(Array(words.dropFirst(2)))) }
        await main(nil)
    }
}
