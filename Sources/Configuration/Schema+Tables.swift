// The keys of the tables that hold sizes, limits and timeouts.

private let seconds = 1...31_536_000

extension Schema where Section == Configuration.FlowCache {
    static var flowCache: Schema {
        Schema(settings: [
            .choice("mode", \.mode),
            .integer("entries", \.entries, 1024...134_217_728),
            .integer("initial-entries", \.initialEntries, 0...134_217_728),
        ])
    }
}

extension Schema where Section == Configuration.Conntrack {
    static var conntrack: Schema {
        Schema(
            settings: [
                .integer("max", \.max, 16...67_108_864),
                .choice("tcp-window", \.tcpWindow),
                .boolean("tcp-loose", \.tcpLoose),
                .boolean("checksum", \.checksum),
                .boolean("accounting", \.accounting),
            ],
            subtables: [.table("timeout", \.timeout, .timeout)])
    }
}

extension Schema where Section == Configuration.NAT {
    static var nat: Schema {
        Schema(settings: [
            .list("full-cone", \.fullCone, allowed: "names of ports") { value in
                guard case .string(let name) = value, !name.isEmpty else { return nil }
                return name
            } write: { quotedTOML($0) },
            .integer("full-cone-mappings", \.fullConeMappings, 16...4_194_304),
            .choice("steer-ports", \.steerPorts),
        ])
    }
}

extension Schema where Section == Configuration.Timeouts {
    static var timeout: Schema {
        Schema(settings: [
            .integer("tcp-syn-sent", \.tcpSynSent, seconds),
            .integer("tcp-syn-recv", \.tcpSynRecv, seconds),
            .integer("tcp-established", \.tcpEstablished, seconds),
            .integer("tcp-fin-wait", \.tcpFinWait, seconds),
            .integer("tcp-close-wait", \.tcpCloseWait, seconds),
            .integer("tcp-last-ack", \.tcpLastAck, seconds),
            .integer("tcp-time-wait", \.tcpTimeWait, seconds),
            .integer("tcp-close", \.tcpClose, seconds),
            .integer("tcp-max-retrans", \.tcpMaxRetrans, seconds),
            .integer("tcp-unacknowledged", \.tcpUnacknowledged, seconds),
            .integer("udp", \.udp, seconds),
            .integer("udp-stream", \.udpStream, seconds),
            .integer("icmp", \.icmp, seconds),
            .integer("icmpv6", \.icmpv6, seconds),
            .integer("generic", \.generic, seconds),
        ])
    }
}

extension Schema where Section == Configuration.Reassembly {
    static var reassembly: Schema {
        Schema(settings: [
            .integer("datagrams", \.datagrams, 1...1_048_576),
            .integer("memory-kb", \.memoryKB, 64...4_194_304),
            .integer("timeout-ipv4", \.timeoutIPv4, 1...3600),
            .integer("timeout-ipv6", \.timeoutIPv6, 1...3600),
        ])
    }
}

extension Schema where Section == Configuration.Neighbours {
    static var neighbours: Schema {
        Schema(settings: [
            .integer("max", \.max, 16...1_048_576),
            .integer("pending", \.pending, 1...4096),
            .integer("pending-kb", \.pendingKB, 16...1_048_576),
            .integer("reachable", \.reachable, 1...86_400),
            .integer("solicitations", \.solicitations, 1...20),
        ])
    }
}

extension Schema where Section == Configuration.ICMP {
    static var icmp: Schema {
        Schema(settings: [.integer("rate", \.rate, 0...10_000_000), .integer("burst", \.burst, 1...10_000_000)])
    }
}

extension Schema where Section == Configuration.Offload {
    static var offload: Schema {
        Schema(settings: [
            .choice("tier", \.tier),
            .integer("minimum-rate", \.minimumRate, 0...1_000_000_000),
            .integer("minimum-packets", \.minimumPackets, 0...1_000_000_000),
            .integer("max-flows", \.maxFlows, 0...67_108_864),
            .integer("idle", \.idle, 1...86_400),
            .integer("query-interval-ms", \.queryInterval, 10...60_000),
        ])
    }
}

extension Schema where Section == Configuration.Control {
    static var control: Schema {
        Schema(settings: [.text("socket", \.socket, allowed: "the path of a Unix socket, 1 to 107 bytes long") { (1...107).contains($0.utf8.count) }])
    }
}

extension Schema where Section == Configuration.Log {
    static var log: Schema {
        Schema(settings: [.choice("level", \.level), .text("file", optional: \.file, allowed: "the path of a file to append to") { !$0.isEmpty }])
    }
}
