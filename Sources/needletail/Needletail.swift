import ArgumentParser

@main
struct Needletail: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "needletail", abstract: "A stateful line-rate forwarder, firewall and NAT gateway.", version: "0.1.0",
        subcommands: [Bench.self])
}
