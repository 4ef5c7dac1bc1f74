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
        let names = configurationValue.interfaceNames
        return Int(port) < names.count ? names[Int(port)] : ""
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
        helper = record.helperName
        line = record.listing(now: now)
        zoneDirection = record.zone.directions == 1 ? "orig" : record.zone.directions == 2 ? "reply" : nil
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
