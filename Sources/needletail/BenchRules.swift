// Rulesets for `bench slow-path`, as people write them, and for each rule a packet that it is about.
//
// Invariant: everything follows from the number of rules, so that two machines measure the same. Every packet is accepted by
// some rule; blocked sources are in 10.255.0.0/16, which no packet comes from.
import SlowPath

/// A new connection's first packet, UDP or TCP over IPv4.
struct BenchPacket {
    var source: UInt32
    var destination: UInt32
    var sourcePort: UInt16
    var destinationPort: UInt16
    var isTCP: Bool
}

struct BenchRules {
    private(set) var linear = ""
    private(set) var linearPackets: [BenchPacket] = []
    private(set) var sets = ""
    private(set) var setPackets: [BenchPacket] = []
    private var random: SplitMix64

    init(count: Int, translates: Bool) {
        random = SplitMix64(seed: UInt64(count) &* 7919)
        writeLinear(count, translates)
        writeSets(count, translates)
    }

    private mutating func number(_ bound: Int) -> Int { Int(truncatingIfNeeded: random.next() >> 11) % bound }
    private mutating func client() -> UInt32 { UInt32(0x0a00_0000 | number(0x00fe_ffff)) }
    private mutating func server() -> UInt32 { UInt32(0xc612_0000 | number(0x0001_ffff)) }
    private static func text(_ address: UInt32) -> String { "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)" }
    private static func prefix(_ address: UInt32, _ length: UInt32) -> String { "\(text((address >> (32 - length)) << (32 - length)))/\(length)" }

    private static func nat(_ translates: Bool) -> String {
        translates ? "  chain source { type nat hook postrouting priority srcnat; oifname \"wan0\" snat ip to 198.51.100.1-198.51.100.200; }\n" : ""
    }

    /// One rule and a packet for it; nil for a rule that blocks.
    private mutating func rule(_ form: Int) -> (text: String, packet: BenchPacket?) {
        let a = client(), b = server(), port = 1 + number(60_000)
        let isTCP = number(3) > 0
        let word = isTCP ? "tcp" : "udp"
        let source = BenchRules.text(a), destination = BenchRules.text(b)
        let net = BenchRules.prefix(a, UInt32(16 + number(13))), far = BenchRules.prefix(b, UInt32(20 + number(12)))
        var packet = BenchPacket(source: a, destination: b, sourcePort: 0, destinationPort: UInt16(port), isTCP: isTCP)
        switch form {
        case 0: return ("ip saddr \(net) \(word) dport \(port) accept", packet)
        case 1: return ("ip saddr \(source) ip daddr \(far) \(word) dport \(port) counter accept", packet)
        case 2: return ("iifname \"lan0\" ip saddr \(net) ip daddr \(destination) \(word) dport \(port)-\(port + 100) accept", packet)
        case 3: return ("ct state new \(word) dport { \(port), \(port + 7), \(port + 20)-\(port + 30) } ip daddr \(far) accept", packet)
        case 4: return ("ip saddr != 10.255.0.0/16 ip daddr \(destination) \(word) dport \(port) accept", packet)
        case 5: return ("ip daddr \(destination) meta l4proto \(word) counter accept", packet)
        case 6:
            packet.sourcePort = UInt16(port)
            return ("\(word) sport \(port) ip saddr \(source) accept", packet)
        case 7: return ("ip saddr 10.255.\(number(255)).0-10.255.255.\(number(255)) \(word) dport \(port) counter drop", nil)
        case 8: return ("iifname \"lan0\" ip daddr \(far) \(word) dport \(port) jump services", packet)
        default: return ("oifname \"wan0\" meta l4proto { tcp, udp } th dport \(port) ip saddr \(source) accept", packet)
        }
    }

    private mutating func writeLinear(_ count: Int, _ translates: Bool) {
        linear = "table inet bench {\n  chain services { meta l4proto { tcp, udp } counter accept; }\n"
        linear += BenchRules.nat(translates)
        linear += "  chain forward {\n    type filter hook forward priority filter; policy drop;\n    ct state established,related accept\n"
        for place in 0 ..< max(1, count - 1) {
            let (text, packet) = rule(place % 10)
            linear += "    \(text)\n"
            if let packet { linearPackets.append(packet) }
        }
        linear += "  }\n}\n"
    }

    private mutating func writeSets(_ count: Int, _ translates: Bool) {
        var lists: [[String]] = [[], [], [], []]
        for place in 0 ..< max(4, count) {
            let a = client(), b = server(), port = 1 + number(60_000)
            let isTCP = number(3) > 0
            let packet = BenchPacket(source: a, destination: b, sourcePort: 0, destinationPort: UInt16(port), isTCP: isTCP)
            switch place % 4 {
            case 0: lists[0].append("10.255.\(place >> 10 & 255).\(place >> 2 & 255)")
            case 1: lists[1].append(BenchRules.text(b))
            case 2: lists[2].append("\(BenchRules.prefix(a, 26)) . \(isTCP ? "tcp" : "udp") . \(port)-\(port + 10)")
            default: lists[3].append("\(BenchRules.text(b)) . \(port) : accept")
            }
            if place % 4 != 0 { setPackets.append(packet) }
        }
        // A set refuses an element that overlaps another; a list in which some do is thinned out by its key.
        let lists2 = lists.map { list in Set(list).sorted().joined(separator: ", ") }
        sets = "table inet bench {\n"
        sets += "  set blocked { type ipv4_addr; flags interval; auto-merge; elements = { \(lists2[0]) }; }\n"
        sets += "  set servers { type ipv4_addr; elements = { \(lists2[1]) }; }\n"
        sets += "  set services { type ipv4_addr . inet_proto . inet_service; flags interval; elements = { \(lists2[2]) }; }\n"
        sets += "  map dispatch { type ipv4_addr . inet_service : verdict; elements = { \(lists2[3]) }; }\n"
        sets += BenchRules.nat(translates)
        sets += "  chain forward {\n    type filter hook forward priority filter; policy drop;\n    ct state established,related accept\n"
        sets += "    ip saddr @blocked drop\n    ip daddr @servers counter accept\n    ip saddr . meta l4proto . th dport @services accept\n"
        sets += "    ip daddr . th dport vmap @dispatch\n  }\n}\n"
    }
}
