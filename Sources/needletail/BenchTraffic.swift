// The benchmark's flows, as descriptions for the cache; the packets come from CShims/CDPDK/nt_flow_source.c.
//
// Invariant: for every connection both directions are described with the numbers of `nt_flow_tuple`, so every stamped packet hits.
import CDPDK
import FlowCache
import Wire

struct BenchTraffic {
    var isIPv6: Bool
    var isTCP: Bool
    /// Sequence numbers of TCP are judged.
    var isStrict: Bool
    var isMix: Bool
    var translates: Bool
    /// Addresses of port 0 (clients) and port 1 (servers).
    var routerAddresses: [EthernetAddress]
    static let clientStation = EthernetAddress(rawValue: 0x0200_0000_0c01)
    static let serverStation = EthernetAddress(rawValue: 0x0200_0000_0c02)

    private enum Net: UInt64 { case client = 1, server, translated }

    private func address(_ number: UInt32, _ net: Net) -> IPAddress {
        // As nt_flow_source_init lays it out: 2001:db8, the net's number in the sixth byte, the host in the last four.
        isIPv6 ? IPAddress(ipv6High: 0x2001_0db8_0000_0000 | net.rawValue << 16, low: UInt64(number)) : IPAddress(ipv4: number)
    }

    /// One direction of a connection as the slow path would publish it: tracked, checksums verified, TCP windows judged.
    func description(connection: UInt32, isReply: Bool) -> FlowDescription {
        let tuple = nt_flow_tuple(connection)
        let client = address(tuple.client, .client)
        let server = address(tuple.server, .server)
        let outside = translates ? address(tuple.translated, .translated) : client
        let outsidePort = translates ? tuple.translated_port : tuple.client_port
        var flow = FlowDescription()
        flow.key.transportProtocol = isTCP ? IPProtocol.tcp : IPProtocol.udp
        flow.key.ingressPort = isReply ? 1 : 0
        flow.key.source = isReply ? server : client
        flow.key.sourcePort = isReply ? tuple.server_port : tuple.client_port
        flow.key.destination = isReply ? outside : server
        flow.key.destinationPort = isReply ? outsidePort : tuple.server_port
        flow.rewrite.outputPort = isReply ? 0 : 1
        flow.rewrite.sourceMAC = routerAddresses[isReply ? 0 : 1]
        flow.rewrite.destinationMAC = isReply ? BenchTraffic.clientStation : BenchTraffic.serverStation
        flow.rewrite.source = isReply ? server : outside
        flow.rewrite.sourcePort = isReply ? tuple.server_port : outsidePort
        flow.rewrite.destination = isReply ? client : server
        flow.rewrite.destinationPort = isReply ? tuple.client_port : tuple.server_port
        flow.guard.maximumLength = 1500
        flow.guard.checksTransportChecksum = true
        flow.guard.checksTCPWindow = isTCP && isStrict
        flow.connection = connection
        flow.direction = isReply ? 1 : 0
        flow.creditList = connection
        return flow
    }

    /// A connection's window as its handshake left it, both ends with the largest window that there is.
    static var window: TCPWindowPair {
        var end = TCPEndpoint()
        end.end = UInt32(nt_flow_initial)
        end.scale = 14
        end.maxWindow = 0xffff << 14
        end.maxEnd = end.end &+ end.maxWindow
        end.maxAck = end.end
        end.flags = TCPEndpoint.Flag.windowScale | TCPEndpoint.Flag.sackPermitted | TCPEndpoint.Flag.maxAckSet
        var pair = TCPWindowPair()
        pair.original = end
        pair.reply = end
        pair.state = TCPState.established.rawValue
        return pair
    }

    /// A source that stamps one direction of connections `first ..< first + count`.
    func makeSource(isReply: Bool, first: Int, count: Int) -> UnsafeMutablePointer<nt_flow_source> {
        let source = UnsafeMutablePointer<nt_flow_source>.allocate(capacity: 1)
        var flags = 0
        if isIPv6 { flags |= NT_FLOW_IPV6 }
        if isReply { flags |= NT_FLOW_REPLY }
        if translates { flags |= NT_FLOW_TRANSLATE }
        if isTCP { flags |= NT_FLOW_TCP }
        if isMix { flags |= NT_FLOW_MIX }
        func bytes(_ address: EthernetAddress) -> [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: address.rawValue >> (40 - 8 * $0)) } }
        nt_flow_source_init(
            source, bytes(routerAddresses[isReply ? 1 : 0]), bytes(isReply ? BenchTraffic.serverStation : BenchTraffic.clientStation),
            UInt32(truncatingIfNeeded: flags), UInt32(first), UInt32(count))
        return source
    }
}
