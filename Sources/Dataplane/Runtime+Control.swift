// What the control socket asks of the running router, and what it may change.
import Configuration
import Conntrack
import DPDK
import Foundation
import Policy
import Ruleset
import SlowPath
import Wire

extension Runtime {
    public func flows(limit: Int) async -> [FlowReport] {
        await perform { [self] core in
            let now = Clock.nanoseconds
            core.settle(now: now)
            var reports: [FlowReport] = []
            core.path.pointee.tracker.pointee.forEach(now: now) { index, connection in
                guard reports.count < limit else { return }
                var report = FlowReport()
                let record = connection.pointee
                report.proto = record.protocolName
                (report.source, report.destination) = Self.ends(record.original)
                (report.replySource, report.replyDestination) = Self.ends(record.reply)
                report.ingress = name(core.path.pointee.router.route(to: record.original.source, ingress: 0).port)
                report.egress = name(core.path.pointee.router.route(to: record.reply.source, ingress: 0).port)
                switch core.path.pointee.travel(of: index) {
                case .offloaded: report.path = "offloaded"
                case .cached: report.path = "cached"
                case .slow(let reason): (report.path, report.reason) = ("slow", reason)
                }
                report.packets = record.originalPackets + record.replyPackets
                report.bytes = record.originalBytes + record.replyBytes
                report.idle = Double(now &- min(now, record.lastSeen)) / 1e9
                reports.append(report)
            }
            return reports
        }
    }

    private func name(_ port: PortIndex) -> String {
        Int(port) < configurationValue.ports.count ? configurationValue.ports[Int(port)].name : ""
    }

    private static func ends(_ tuple: ConnectionTuple) -> (String, String) {
        func end(_ address: IPAddress, _ port: UInt16) -> String {
            switch tuple.transportProtocol {
            case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp, IPProtocol.dccp:
                address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
            default: "\(address)"
            }
        }
        return (end(tuple.source, tuple.sourcePort), end(tuple.destination, tuple.destinationPort))
    }

    public func connections(limit: Int) async -> [ConnectionReport] {
        await perform { core in
            let now = Clock.nanoseconds
            core.settle(now: now)
            var reports: [ConnectionReport] = []
            core.path.pointee.tracker.pointee.forEach(now: now) { _, connection in
                guard reports.count < limit else { return }
                reports.append(ConnectionReport(connection.pointee, now: now))
            }
            return reports
        }
    }

    public func configuration() async -> String { configurationValue.toml }

    /// Reads the ruleset file again and puts it in force as one change; on an error everything stays as it was.
    public func reload() async -> CommandResult {
        guard let file = configurationValue.ruleset.file else { return CommandResult(standardError: "no [ruleset] file is configured\n", exitCode: 1) }
        do {
            let value = try LiveRuleset.load(file, assembly.ruleset.interfaces)
            await adopt { _ in value }
            return CommandResult()
        } catch { return CommandResult(standardError: "\(error)\n", exitCode: 1) }
    }

    /// Replaces the ruleset by what `change` makes of the current one (its state included), on the slow-path core. The
    /// workers run on; their entries are judged again, one by one, as packets come.
    func adopt(_ change: @escaping @Sendable (RulesetValue) -> RulesetValue) async {
        await perform { [self] core in
            let now = Clock.nanoseconds
            // Before the state is copied: once the entries are stale and the workers quiescent, every count is in.
            core.path.pointee.invalidateFlows()
            core.settle(now: now)
            let live = assembly.ruleset
            let value = change(live.compiled.currentValue(now: now))
            let compiled = CompiledRuleset(value, interfaces: live.interfaces, previous: live.compiled, seed: UInt64.random(in: .min ... .max), now: now)
            live.adopt(value, compiled)
            core.path.pointee.adopt(compiled)
        }
    }

    /// Runs nft's arguments against the ruleset in force; what they change is in force when this returns, all of it or
    /// nothing. A listing changes nothing and recompiles nothing.
    public func nft(_ request: NftRequest) async -> CommandResult {
        var line = NFTCommandLine(arguments: request.arguments)
        guard !line.interactive else { return CommandResult(standardError: "nft -i is not served over the control socket; give commands or -f FILE\n", exitCode: 1) }
        line.standardInput = request.standardInput ?? ""
        line.options.interfaces = assembly.ruleset.interfaces.map(\.name)
        line.options.workingDirectory = request.workingDirectory
        let command = line
        let changes = !command.check && (!command.files.isEmpty || command.command.first != "list")
        return await perform { [self] core in
            let now = Clock.nanoseconds
            if changes { core.path.pointee.invalidateFlows() }
            core.settle(now: now)
            let live = assembly.ruleset
            var value = live.compiled.currentValue(now: now)
            let result = command.run(on: &value)
            if changes, result.exitStatus == 0 {
                let compiled = CompiledRuleset(value, interfaces: live.interfaces, previous: live.compiled, seed: UInt64.random(in: .min ... .max), now: now)
                live.adopt(value, compiled)
                core.path.pointee.adopt(compiled)
            }
            return CommandResult(standardOutput: result.output, standardError: result.errors, exitCode: result.exitStatus)
        }
    }
}

extension ConnectionReport {
    init(_ record: Connection, now: Timestamp) {
        self.init()
        family = record.original.family == .ipv4 ? "ipv4" : "ipv6"
        proto = record.protocolName
        protocolNumber = Int(record.transportProtocol)
        if record.transportProtocol == IPProtocol.tcp { state = record.stateName }
        timeout = record.deadline > now ? (record.deadline - now) / 1_000_000_000 : 0
        original = Direction(record.original, record.originalPackets, record.originalBytes)
        reply = Direction(record.reply, record.replyPackets, record.replyBytes)
        assured = record.status.contains(.assured)
        replied = record.status.contains(.seenReply)
        if record.status.contains(.hardwareOffload) { offload = "HW_OFFLOAD" } else if record.status.contains(.offload) { offload = "OFFLOAD" }
        mark = record.mark
        zone = record.zone.identifier
    }
}

extension ConnectionReport.Direction {
    init(_ tuple: ConnectionTuple, _ packets: UInt64, _ bytes: UInt64) {
        self.init()
        source = "\(tuple.source)"
        destination = "\(tuple.destination)"
        self.packets = packets
        self.bytes = bytes
        switch tuple.transportProtocol {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp, IPProtocol.dccp: (sourcePort, destinationPort) = (tuple.sourcePort, tuple.destinationPort)
        case IPProtocol.icmp, IPProtocol.icmpv6: (icmpType, icmpCode, icmpIdentifier) = (tuple.icmpType, tuple.icmpCode, tuple.sourcePort)
        default: break
        }
    }
}
