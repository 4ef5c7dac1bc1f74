// `needletail replay`: captures in, captures out, and a comparison with what another router sent.
import ArgumentParser
import Configuration
import Dataplane
import Foundation

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Forward the packets of captures, and write what is sent into captures.",
        discussion: """
            Reads pcap and pcapng files, merges them in the order of their time stamps and feeds them to the named ports, \
            with the captures' own clock as the time. Writes DIR/NAME.pcap for each port. The same input gives the same \
            bytes. Needs neither root nor huge pages nor the configured devices; configured net_pcap devices are read as well.

            With --expect, what each port sent is compared with a capture of what another router sent there; exit code 1 \
            if anything differs. Compared are whole frames. Ignored are ARP, neighbour discovery and MLD, and, in ICMP \
            that the router itself makes, the IPv4 identification (and so the header checksum) or the IPv6 flow label; \
            identifications of IPv6 fragments need only be the same where the expected ones are.
            """)

    @OptionGroup var file: ConfigurationOption

    @Option(name: .customLong("in"), help: ArgumentHelp("A capture whose packets arrive at a port.", valueName: "name=file"))
    var inputs: [PortFile] = []

    @Option(help: ArgumentHelp("Directory for one capture a port, made if it does not exist.", valueName: "dir"), completion: .directory)
    var out: String

    @Option(help: ArgumentHelp("A capture of what a port is expected to send.", valueName: "name=file"))
    var expect: [PortFile] = []

    @Option(help: ArgumentHelp("Who made the expected captures, for the last line of the report.", valueName: "text"))
    var reference = "the expected captures"

    @Option(help: ArgumentHelp("Play this NIC at every port, whatever the configuration says: none, full, or a real one such as mlx5.", valueName: "profile"))
    var emulateOffload: Configuration.EmulatedOffload?

    @Flag(inversion: .prefixedNo, help: "Wait until a packet has left before the next one arrives.")
    var lockstep = true

    @OptionGroup var output: JSONOption

    func run() throws {
        try Failure.reporting {
            var configuration = try file.load()
            if let emulateOffload {
                for index in configuration.ports.indices { configuration.ports[index].emulateOffload = emulateOffload }
            }
            try checkNames(configuration)
            let options = ReplayOptions(inputs: inputs.map { ReplayOptions.Input(port: $0.port, path: $0.path) }, outputDirectory: out, lockstep: lockstep)
            let summary = try Replayer.run(configuration: configuration, options: options)
            var comparison: CaptureComparison?
            if !expect.isEmpty {
                var compared = CaptureComparison(reference: reference, ownAddresses: configuration.ports.flatMap { $0.addresses.map(\.address) })
                for expected in expect { try compared.compare(port: expected.port, expected: expected.path, actual: "\(out)/\(expected.port).pcap") }
                comparison = compared
            }
            if output.json {
                try JSON.print(ReplayReport(summary: summary, comparison: comparison))
            } else {
                print(summary.table, terminator: "")
                if let comparison { print("\n" + comparison.table, terminator: "") }
            }
            if comparison?.isEqual == false { throw Failure.wrongInput }
        }
    }

    /// Everything that needs no capture to be opened.
    private func checkNames(_ configuration: Configuration) throws {
        var wrong: [String] = []
        let names = configuration.ports.map(\.name)
        for (option, files) in [("--in", inputs), ("--expect", expect)] {
            for file in files {
                if !names.contains(file.port) {
                    wrong.append("\(option) \(file.port)=\(file.path): \(configuration.file) has no port \"\(file.port)\"; it has \(names.joined(separator: ", "))")
                }
                if !Configuration.isReadableFile(file.path) { wrong.append("\(option) \(file.port)=\(file.path): the file cannot be read") }
            }
        }
        for (index, file) in expect.enumerated() where expect[..<index].contains(where: { $0.port == file.port }) {
            wrong.append("--expect \(file.port)=\(file.path): port \"\(file.port)\" has an expected capture already; one a port is allowed")
        }
        if inputs.isEmpty, !configuration.ports.contains(where: { $0.device.hasPrefix("net_pcap") }) {
            wrong.append("no --in NAME=FILE and no port with a net_pcap device: there is nothing to replay")
        }
        do {
            try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
        } catch {
            wrong.append("--out \(out): the directory cannot be made")
        }
        guard wrong.isEmpty else { throw InputError(wrong.joined(separator: "\n")) }
    }
}

extension Configuration.EmulatedOffload: ExpressibleByArgument {}

/// What `replay --json` prints: the summary's own keys, and `comparison`.
private struct ReplayReport: Encodable {
    var summary: ForwardingSummary
    var comparison: CaptureComparison?

    func encode(to encoder: any Encoder) throws {
        try summary.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(comparison, forKey: .comparison)
    }

    private enum Key: CodingKey { case comparison }
}
