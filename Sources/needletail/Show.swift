// `needletail show`: what a running needletail does, through its control socket.
import ArgumentParser
import Configuration
import Control
import Dataplane

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a running needletail does.",
        discussion: "Asks through the control socket: the one that --socket names, or that of the configuration that --config names.",
        subcommands: [Status.self, Stats.self, Ports.self, Interfaces.self, Flows.self, Conntrack.self, Offload.self, Config.self, Metrics.self], defaultSubcommand: Status.self)
}

/// Which needletail to ask.
struct SocketOption: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("The control socket.", valueName: "path"), completion: .file())
    var socket: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("The configuration that the running needletail was started with.", valueName: "file"), completion: .file(extensions: ["toml"]))
    var config: String?

    func client() throws -> ControlClient {
        if let socket { return ControlClient(path: socket) }
        if let config { return ControlClient(path: try Configuration.load(file: config).control.socket) }
        return ControlClient(path: Configuration.Control().socket)
    }
}

extension Show {
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Whether it runs, since when, with what.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption

        func run() throws {
            try Failure.reporting {
                let status: StatusReport = try socket.client().get("status")
                if output.json { return try JSON.print(status) }
                var table = TextTable("needletail \(status.version)", "")
                table.add("process", "\(status.processIdentifier)")
                table.add("up for", timeText(status.uptime))
                table.add("configuration", status.configurationFile)
                table.add("ruleset", status.rulesetFile ?? "none")
                table.add("ports", "\(status.ports)")
                table.add("workers", "\(status.workers)")
                table.add("generation", "\(status.generation)")
                print(table.text, terminator: "")
            }
        }
    }

    struct Stats: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Packets, drops by reason, flows, cache, offload and counters.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption

        func run() throws {
            try Failure.reporting {
                let summary: ForwardingSummary = try socket.client().get("stats")
                if output.json { try JSON.print(summary) } else { print(summary.table, terminator: "") }
            }
        }
    }

    struct Ports: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The ports: device, addresses, link and packets.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption

        func run() throws {
            try Failure.reporting {
                let ports: [PortReport] = try socket.client().get("ports")
                if output.json { return try JSON.print(ports) }
                var table = TextTable("port", "link", "mac", ">mtu", "device", "addresses")
                for port in ports { table.add(port.name, port.linkUp ? "up" : "down", port.mac, "\(port.mtu)", port.device, port.addresses.joined(separator: " ")) }
                print(table.text + "\n" + PortReport.table(ports), terminator: "")
            }
        }
    }

    struct Interfaces: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Ports, VLANs and PPPoE sessions: packets and bytes in each direction.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption

        func run() throws {
            try Failure.reporting {
                let interfaces: [InterfaceReport] = try socket.client().get("interfaces")
                if output.json { try JSON.print(interfaces) } else { print(InterfaceReport.table(interfaces), terminator: "") }
            }
        }
    }

    struct Flows: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Flows, where each is forwarded, and why one is not cached.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption
        @Option(help: "At most so many, those with the most packets first.")
        var limit = 100

        func validate() throws { if limit < 1 { throw ValidationError("--limit must be 1 or more") } }

        func run() throws {
            try Failure.reporting {
                let flows: [FlowReport] = try socket.client().get("flows?limit=\(limit)")
                if output.json { return try JSON.print(flows) }
                var table = TextTable("proto", "from", "to", "reply from", "reply to", "ports", "path", ">packets", ">bytes", ">idle", "why not cached")
                for flow in flows {
                    table.add(
                        flow.proto, flow.source, flow.destination, flow.replySource, flow.replyDestination, "\(flow.ingress) > \(flow.egress)", flow.path,
                        grouped(flow.packets), grouped(flow.bytes), timeText(flow.idle), flow.reason ?? "")
                }
                print(table.text, terminator: "")
            }
        }
    }

    struct Conntrack: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Tracked connections, as conntrack -L prints them.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption
        @Option(help: "At most so many.")
        var limit = 1000

        func validate() throws { if limit < 1 { throw ValidationError("--limit must be 1 or more") } }

        func run() throws {
            try Failure.reporting {
                let connections: [ConnectionReport] = try socket.client().get("conntrack?limit=\(limit)")
                if output.json { try JSON.print(connections) } else { for connection in connections { print(connection.line) } }
            }
        }
    }

    struct Offload: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What each port's NIC can do and what it carries.")
        @OptionGroup var socket: SocketOption
        @OptionGroup var output: JSONOption

        func run() throws {
            try Failure.reporting {
                let report: OffloadReport = try socket.client().get("offload")
                if output.json { return try JSON.print(report) }
                print(report.table, terminator: "")
                for port in report.ports { for line in port.capability { print("\(port.name): \(line)") } }
            }
        }
    }

    struct Config: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The configuration in force, every default written out.")
        @OptionGroup var socket: SocketOption

        func run() throws {
            try Failure.reporting { print(try socket.client().getText("/v1/config"), terminator: "") }
        }
    }

    struct Metrics: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Everything countable, in Prometheus' text format.")
        @OptionGroup var socket: SocketOption

        func run() throws {
            try Failure.reporting { print(try socket.client().getText("/metrics"), terminator: "") }
        }
    }
}
