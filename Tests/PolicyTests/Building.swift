// Rulesets and packets for tests, built by hand so that these tests do not depend on the parser.
import Policy
@testable import Ruleset
import Wire

typealias Expression = Ruleset.Expression

enum Types {
    static let ipv4 = Datatype(.ipv4Address, bits: 32, byteOrder: .network)
    static let ipv6 = Datatype(.ipv6Address, bits: 128, byteOrder: .network)
    static let port = Datatype(.inetService, bits: 16, byteOrder: .network)
    static let proto = Datatype(.inetProtocol, bits: 8, byteOrder: .network)
    static let mark = Datatype(.mark, bits: 32, byteOrder: .host)
    static let state = Datatype(.ctState, bits: 32, byteOrder: .host)
    static let flag = Datatype(.tcpFlag, bits: 8, byteOrder: .network)
    static let name = Datatype(.interfaceName, bits: 128, byteOrder: .host)
    static let dscp = Datatype(.dscp, bits: 6, byteOrder: .network)
    static let integer16 = Datatype(.integer, bits: 16, byteOrder: .network)
    static let integer8 = Datatype(.integer, bits: 8, byteOrder: .network)
    static let integer32 = Datatype(.integer, bits: 32, byteOrder: .host)
}

enum Fields {
    static func field(_ base: Ruleset.PayloadBase, _ offset: Int, _ length: Int, _ proto: String, _ name: String, _ type: Datatype) -> PayloadField {
        PayloadField(base: base, offset: offset, length: length, proto: proto, field: name, type: type)
    }
    static let source = field(.network, 96, 32, "ip", "saddr", Types.ipv4)
    static let destination = field(.network, 128, 32, "ip", "daddr", Types.ipv4)
    static let source6 = field(.network, 64, 128, "ip6", "saddr", Types.ipv6)
    static let dscp = field(.network, 8, 6, "ip", "dscp", Types.dscp)
    static let dscp6 = field(.network, 4, 6, "ip6", "dscp", Types.dscp)
    static let timeToLive = field(.network, 64, 8, "ip", "ttl", Types.integer8)
    static let sourcePort = field(.transport, 0, 16, "udp", "sport", Types.port)
    static let destinationPort = field(.transport, 16, 16, "udp", "dport", Types.port)
    static let tcpDestinationPort = field(.transport, 16, 16, "tcp", "dport", Types.port)
    static let tcpFlags = field(.transport, 104, 8, "tcp", "flags", Types.flag)
}

func value(_ number: UInt128, _ type: Datatype) -> Expression { .constant(Value(number, type)) }
func text(_ string: String) -> Expression {
    var number: UInt128 = 0
    let bytes = Array(string.utf8)
    for index in 0 ..< 16 { number = number << 8 | UInt128(index < bytes.count ? bytes[index] : 0) }
    return .constant(Value(number, Types.name))
}
func address(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) -> UInt128 { UInt128(a) << 24 | UInt128(b) << 16 | UInt128(c) << 8 | UInt128(d) }
func match(_ left: Expression, _ operation: RelationalOperator, _ right: Expression) -> Statement { .match(Match(left: left, operation: operation, right: right)) }
func port(_ number: UInt128) -> Statement { match(.payload(Fields.destinationPort), .equal, value(number, Types.port)) }
let counter = Statement.counter(packets: 0, bytes: 0)

/// A table with a base chain `c` at forward and further chains.
func ruleset(
    _ rules: [[Statement]], policy: ChainPolicy = .accept, chains: [(String, [[Statement]])] = [], sets: [NamedSet] = [], objects: [NamedObject] = [],
    family: Family = .inet, hook: ChainHook = .forward, type: Ruleset.ChainType = .filter
) -> RulesetValue {
    var table = Table(family: family, name: "t", handle: 1)
    table.sets = sets
    table.objects = objects
    var handle: UInt64 = 10
    func made(_ rules: [[Statement]]) -> [Rule] {
        rules.map { statements in
            handle += 1
            return Rule(handle: handle, statements: statements)
        }
    }
    table.chains.append(Chain(name: "c", handle: 2, base: Ruleset.BaseChain(type: type, hook: hook, priority: 0, policy: policy, devices: []), rules: made(rules)))
    for (number, chain) in chains.enumerated() { table.chains.append(Chain(name: chain.0, handle: UInt64(3 + number), base: nil, rules: made(chain.1))) }
    var value = RulesetValue()
    value.tables = [table]
    return value
}

let interfaces = [Interface(name: "lan0", index: 2), Interface(name: "wan0", index: 3, group: 7)]

/// A frame in memory of its own, which is never freed: a context may outlive the frame.
final class Frame {
    let memory: UnsafeMutableRawPointer
    var packet: PacketBuffer
    var parsed = ParsedPacket()

    init(_ bytes: [UInt8]) {
        let room = UnsafeMutableRawPointer.allocate(byteCount: bytes.count + 64, alignment: 64)
        bytes.withUnsafeBytes { room.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
        memory = room
        packet = PacketBuffer(start: memory, length: bytes.count)
        _ = PacketParser.parse(packet, into: &parsed)
        if parsed.family != nil { Checksum.fillTransport(packet, parsed) }
    }

    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: memory, count: packet.length)) }

    /// Inet family, from lan0 to wan0.
    func context(now: Timestamp = 1_000) -> PacketContext {
        var context = PacketContext(packet: packet, parsed: parsed)
        context.family = parsed.family == .ipv6 ? .ipv6 : .ipv4
        context.input = 0
        context.output = 1
        context.now = now
        return context
    }

    static func ipv4(_ proto: UInt8, _ payload: [UInt8], source: UInt32 = 0x0a00_0102, destination: UInt32 = 0x0a00_0202, fragment: UInt16 = 0, tos: UInt8 = 0) -> Frame {
        let length = 20 + payload.count
        var header: [UInt8] = [0x45, tos, UInt8(length >> 8), UInt8(length & 255), 0, 1, UInt8(fragment >> 8), UInt8(fragment & 255), 64, proto, 0, 0]
        for address in [source, destination] { header += [UInt8(address >> 24), UInt8(address >> 16 & 255), UInt8(address >> 8 & 255), UInt8(address & 255)] }
        header.withUnsafeMutableBytes { Checksum.fillIPv4Header($0.baseAddress!, length: 20) }
        return Frame([2, 0, 0, 0, 10, 1, 2, 0, 0, 0, 10, 2, 8, 0] + header + payload)
    }

    static func udp(_ source: UInt16 = 1000, _ destination: UInt16 = 53, payload: [UInt8] = [1, 2, 3, 4], from: UInt32 = 0x0a00_0102, to: UInt32 = 0x0a00_0202, tos: UInt8 = 0) -> Frame {
        let length = UInt16(8 + payload.count)
        return ipv4(17, [UInt8(source >> 8), UInt8(source & 255), UInt8(destination >> 8), UInt8(destination & 255), UInt8(length >> 8), UInt8(length & 255), 0, 0] + payload,
                    source: from, destination: to, tos: tos)
    }

    static func tcp(_ destination: UInt16 = 80, flags: UInt8 = TCPFlags.syn, options: [UInt8] = []) -> Frame {
        ipv4(6, [4, 0, UInt8(destination >> 8), UInt8(destination & 255), 0, 0, 0, 1, 0, 0, 0, 0, UInt8(((20 + options.count) / 4) << 4), flags, 0x20, 0, 0, 0, 0, 0] + options)
    }

    static func ipv6(next: UInt8, _ payload: [UInt8]) -> Frame {
        let addresses: [UInt8] = [0xfd] + [UInt8](repeating: 0, count: 14) + [1, 0xfd] + [UInt8](repeating: 0, count: 14) + [2]
        return Frame([2, 0, 0, 0, 10, 1, 2, 0, 0, 0, 10, 2, 0x86, 0xdd, 0x60, 0, 0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 255), next, 64] + addresses + payload)
    }
}

extension CompiledRuleset {
    /// Runs the first chain of the forward hook.
    func run(_ context: inout PacketContext, _ hook: Hook = .forward) -> Policy.Verdict {
        guard let chain = program.chains(hook, context.family).first else { return .accept }
        return program.evaluate(chain, &context)
    }

    func run(_ frame: Frame, now: Timestamp = 1_000) -> Policy.Verdict {
        var context = frame.context(now: now)
        return run(&context)
    }
}

func compile(_ value: RulesetValue) -> CompiledRuleset { CompiledRuleset(value, interfaces: interfaces, seed: 42) }

/// Packets and bytes of every counter statement, in the order of the rules.
func counts(_ compiled: CompiledRuleset) -> [UInt64] {
    compiled.currentValue(now: 0).tables.flatMap { $0.chains.flatMap { $0.rules.flatMap { $0.statements.compactMap { if case .counter(let packets, _) = $0 { packets } else { nil } } } } }
}
