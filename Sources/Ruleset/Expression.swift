// The checked form of expressions: every one has a resolved type, and what nft takes from context is explicit.
//
// Invariant: constants are evaluated (no symbol, variable or service name is left), bit fields carry their exact bit
// position, protocol dependencies stand as separate matches (`Match.isImplicit`) in front of the statement that needs them.

/// Which header an offset counts from.
public enum PayloadBase: String, Sendable, Hashable { case link = "ll", network = "nh", transport = "th", inner = "ih" }

/// A part of the packet. The value is the number that these bits make, most significant bit first.
public struct PayloadField: Sendable, Hashable {
    public var base: PayloadBase
    /// Bits from the start of the base header.
    public var offset: Int
    /// Width in bits.
    public var length: Int
    /// nft's name of the protocol (`ip`, `tcp`, `th`, `ether`, `vlan`, ...); empty for a raw payload expression (`@nh,0,8`).
    public var proto: String
    /// nft's name of the field (`saddr`); empty for raw.
    public var field: String
    public var type: Datatype
    /// For a match inside a tunnel, the protocol that carries it: `vxlan`, `geneve`, `gre`, `gretap`.
    public var tunnel: String?
    /// `proto field` of the tunnel protocol's own header (`vxlan vni`): read inside the tunnel header itself.
    public var isTunnelHeader = false
    /// Written as a raw expression (`@th,16,16`), and named for the listing only.
    public var isRaw = false

    public init(base: PayloadBase, offset: Int, length: Int, proto: String, field: String, type: Datatype, tunnel: String? = nil, isTunnelHeader: Bool = false) {
        self.base = base
        self.offset = offset
        self.length = length
        self.proto = proto
        self.field = field
        self.type = type
        self.tunnel = tunnel
        self.isTunnelHeader = isTunnelHeader
    }
}

/// `meta KEY`; the raw value is nft's word.
public enum MetaKey: String, Sendable, Hashable, CaseIterable {
    case length, `protocol`, priority, mark, iif, oif, iifname, oifname, iiftype, oiftype, skuid, skgid, nftrace, rtclassid
    case ibrname, obrname, pkttype, cpu, iifgroup, oifgroup, cgroup, random, ipsec, iifkind, oifkind, ibrpvid, ibrvproto, ibrhwaddr
    case time, day, hour, nfproto, l4proto, sdif, sdifname, broute, secmark
}

/// `ct KEY`; the raw value is nft's word.
public enum ConntrackKey: String, Sendable, Hashable, CaseIterable {
    case state, direction, status, mark, expiration, helper, l3proto, saddr, daddr, `protocol`
    case protoSource = "proto-src", protoDestination = "proto-dst"
    case label, packets, bytes, avgpkt, zone, event, id, secmark
}
public enum ConntrackDirection: String, Sendable, Hashable { case original, reply }

/// `ct [original|reply] [ip|ip6] key`
public struct ConntrackField: Sendable, Hashable {
    public var key: ConntrackKey
    public var direction: ConntrackDirection?
    /// Of `saddr` and `daddr`: the family that the expression names or the context gives.
    public var family: AddressFamily?
    /// Whether the expression itself names the family; the kernel has a key of its own for that.
    public var namesFamily = false
    public var type: Datatype
    public init(key: ConntrackKey, direction: ConntrackDirection?, family: AddressFamily?, type: Datatype) {
        self.key = key
        self.direction = direction
        self.family = family
        self.type = type
    }
}

public enum AddressFamily: String, Sendable, Hashable { case ip, ip6 }

/// What an `OptionField` looks into.
public enum OptionFamily: String, Sendable, Hashable { case extensionHeader, tcpOption, ipOption, sctpChunk, dccpOption }

/// A field of an IPv6 extension header, a TCP or IP option, an SCTP chunk or a DCCP option; or whether it is there.
public struct OptionField: Sendable, Hashable {
    public var family: OptionFamily
    /// IPv6 next-header number, option kind or chunk type.
    public var number: UInt8
    /// nft's name (`frag`, `maxseg`, `lsrr`, `init`), or the number for an unnamed kind.
    public var name: String
    /// nft's name of the field; empty for an existence test and for raw `@kind,offset,length`.
    public var field: String
    /// Bits from the start of the header or option.
    public var offset: Int
    /// Width in bits.
    public var length: Int
    public var type: Datatype
    /// `exthdr hbh exists`: the value is 1 when present, else 0.
    public var testsPresence: Bool
    public init(family: OptionFamily, number: UInt8, name: String, field: String, offset: Int, length: Int, type: Datatype, testsPresence: Bool) {
        self.family = family
        self.number = number
        self.name = name
        self.field = field
        self.offset = offset
        self.length = length
        self.type = type
        self.testsPresence = testsPresence
    }
}

public struct FIBFlags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let saddr = FIBFlags(rawValue: 1), daddr = FIBFlags(rawValue: 2), mark = FIBFlags(rawValue: 4)
    public static let iif = FIBFlags(rawValue: 8), oif = FIBFlags(rawValue: 16)
}
public enum FIBResult: String, Sendable, Hashable { case oif, oifname, type, check }
public enum RouteKey: String, Sendable, Hashable { case classid, nexthop, mtu, ipsec }
public enum SocketKey: Sendable, Hashable { case transparent, mark, wildcard, cgroupV2(level: Int) }
public enum NumberGeneratorMode: String, Sendable, Hashable { case incremental = "inc", random }
public enum BinaryOperator: String, Sendable, Hashable { case and = "&", or = "|", xor = "^", shiftLeft = "<<", shiftRight = ">>" }

/// `ipsec in|out [spnum N] KEY`
public struct IPsecField: Sendable, Hashable {
    public var isInbound: Bool
    public var number: Int
    /// `reqid`, `spi`, `ip saddr`, `ip6 daddr`, ...
    public var key: String
    public var type: Datatype
}

/// A set or map written in place, `{ ... }`.
public struct AnonymousSet: Sendable {
    /// The type of the keys.
    public var keyType: Datatype
    /// The type of a map's data; nil for a set. `.verdict` for a verdict map.
    public var dataType: Datatype?
    /// Keys contain ranges or prefixes.
    public var isInterval: Bool
    /// Sorted as listed.
    public var elements: [SetElement]
    public init(keyType: Datatype, dataType: Datatype?, isInterval: Bool, elements: [SetElement]) {
        self.keyType = keyType
        self.dataType = dataType
        self.isInterval = isInterval
        self.elements = elements
    }
}

/// Where a lookup goes.
public enum SetSource: Sendable {
    case anonymous(AnonymousSet)
    /// The name of a set or map of the same table.
    case named(String)
}

public indirect enum Expression: Sendable {
    case constant(Value)
    /// The value with its low `type.bits - length` bits zero. For strings (`eth*`), the length counts the fixed bits.
    case prefix(Value, length: Int)
    /// Inclusive. For `meta hour` the first may be larger: the range then passes midnight (UTC).
    case range(Value, Value)
    /// Values of a bit mask type, `established,related`: any of them.
    case flags([Value])
    case concatenation([Expression])
    case verdict(Verdict)
    /// `{ ... }` or `@name` on the right side of a match.
    case set(SetSource)
    /// `key map source`: the data found; the rule ends here if nothing is found.
    case map(key: Expression, SetSource, type: Datatype)
    case payload(PayloadField)
    case meta(MetaKey, type: Datatype)
    case ct(ConntrackField)
    case option(OptionField)
    case fib(FIBFlags, FIBResult, type: Datatype)
    case route(RouteKey, family: AddressFamily?, type: Datatype)
    case socket(SocketKey, type: Datatype)
    case osf(ttl: String?, version: Bool, type: Datatype)
    case ipsec(IPsecField)
    case tunnel(String, type: Datatype)
    case numgen(NumberGeneratorMode, modulus: UInt32, offset: UInt32, type: Datatype)
    /// Jenkins hash of the expression; nil seed: a random one.
    case jhash(Expression, modulus: UInt32, seed: UInt32?, offset: UInt32, type: Datatype)
    case symhash(modulus: UInt32, offset: UInt32, type: Datatype)
    case binary(BinaryOperator, Expression, Expression, type: Datatype)
    /// The name of an object of the table (`counter name ... map { ... }` data).
    case objectName(String)
    /// The catch-all key `*`.
    case catchAll

    /// The type of the value.
    public var type: Datatype {
        switch self {
        case .constant(let value), .prefix(let value, _), .range(let value, _): value.type
        case .flags(let values): values.first?.type ?? Datatype(.bitmask, bits: 32, byteOrder: .host)
        case .concatenation(let parts): .concatenation(parts.map(\.type))
        case .verdict: Datatype(.verdict, bits: 64, byteOrder: .host)
        case .set(.anonymous(let set)): set.keyType
        case .set(.named): Datatype(.invalid, bits: 0, byteOrder: .host)
        case .payload(let field): field.type
        case .ct(let field): field.type
        case .option(let field): field.type
        case .ipsec(let field): field.type
        case .map(_, _, let type), .meta(_, let type), .fib(_, _, let type), .route(_, _, let type), .socket(_, let type), .osf(_, _, let type),
             .tunnel(_, let type), .numgen(_, _, _, let type), .jhash(_, _, _, _, let type), .symhash(_, _, let type), .binary(_, _, _, let type): type
        case .objectName, .catchAll: Datatype(.string, bits: 128, byteOrder: .host)
        }
    }
}

public enum Verdict: Sendable, Hashable {
    case accept, drop, `continue`, `return`
    case jump(String)
    case goto(String)
}
