// The checked form of statements.
//
// Invariant: a rule's statements stand in the order in which they take effect; matches that nft derives from the protocol
// of a later field are in their place with `isImplicit`, so that an evaluator needs no knowledge of protocols.

public enum RelationalOperator: String, Sendable, Hashable {
    case equal = "==", notEqual = "!=", less = "<", greater = ">", lessOrEqual = "<=", greaterOrEqual = ">="
    /// `ct state established,related`, `tcp flags syn`: at least one of the bits is set.
    case anyBit = "in"
    /// At least one of the bits is set: no match (`ct state ! new`).
    case noBit = "!"
}

/// `left OP right`. With a set, prefix or range on the right, `equal` means containment and `notEqual` its opposite.
public struct Match: Sendable {
    public var left: Expression
    public var operation: RelationalOperator
    public var right: Expression
    /// Derived from the protocol of a later field, or implied by it: not listed.
    public var isImplicit: Bool
    public var location: SourceRange
    public init(left: Expression, operation: RelationalOperator, right: Expression, isImplicit: Bool = false, location: SourceRange = .none) {
        self.left = left
        self.operation = operation
        self.right = right
        self.isImplicit = isImplicit
        self.location = location
    }
}

/// A token bucket: `rate` packets or bytes per `unit` seconds.
public struct Limit: Sendable, Hashable {
    public var rate: UInt64
    /// Seconds: 1, 60, 3600, 86400 or 604800.
    public var unit: UInt64
    /// Packets or bytes; 0 when a byte limit gives none (the kernel then allows `rate`).
    public var burst: UInt64
    public var isBytes: Bool
    /// `over`: match what exceeds the rate.
    public var isOver: Bool
    public init(rate: UInt64, unit: UInt64, burst: UInt64, isBytes: Bool, isOver: Bool) {
        self.rate = rate
        self.unit = unit
        self.burst = burst
        self.isBytes = isBytes
        self.isOver = isOver
    }
}

public struct Quota: Sendable, Hashable {
    /// Bytes.
    public var limit: UInt64
    public var used: UInt64
    public var isOver: Bool
    public init(limit: UInt64, used: UInt64, isOver: Bool) {
        self.limit = limit
        self.used = used
        self.isOver = isOver
    }
}

public struct Log: Sendable, Hashable {
    public var prefix: String?
    /// NFLOG group; nil: the kernel log.
    public var group: UInt16?
    public var snapLength: UInt32?
    public var queueThreshold: UInt16?
    /// syslog level 0...7, 8 = audit; nil: warn.
    public var level: UInt8?
    /// NF_LOG_TCPSEQ 1, TCPOPT 2, IPOPT 4, UID 8, MACDECODE 32.
    public var flags: UInt8
    public init() { flags = 0 }
}

public enum RejectKind: Sendable, Hashable {
    case tcpReset
    /// ICMP code of a destination-unreachable.
    case icmp(code: UInt8)
    case icmpv6(code: UInt8)
    /// 0 no-route, 1 port-unreachable, 2 host-unreachable, 3 admin-prohibited.
    case icmpx(code: UInt8)
}

public enum NATKind: String, Sendable, Hashable { case snat, dnat, masquerade, redirect }

public struct NATFlags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let random = NATFlags(rawValue: 1), fullyRandom = NATFlags(rawValue: 2), persistent = NATFlags(rawValue: 4)
    /// `snat prefix to`: map the network part, keep the host part.
    public static let prefix = NATFlags(rawValue: 8)
}

public struct NAT: Sendable {
    public var kind: NATKind
    /// Of the address; nil for masquerade and redirect.
    public var family: AddressFamily?
    /// The family is written in the rule (`dnat ip to`).
    public var showsFamily: Bool
    /// A value, range, prefix, or a map giving an address or a concatenation `address . port`.
    public var address: Expression?
    public var port: Expression?
    public var flags: NATFlags
    public init(kind: NATKind, family: AddressFamily? = nil, showsFamily: Bool = false, address: Expression? = nil, port: Expression? = nil, flags: NATFlags = []) {
        self.kind = kind
        self.family = family
        self.showsFamily = showsFamily
        self.address = address
        self.port = port
        self.flags = flags
    }
}

public enum SetOperation: String, Sendable, Hashable { case add, update, delete }

/// `add @set { key [timeout T] [statements] [: data] }`
public struct SetUpdate: Sendable {
    public var operation: SetOperation
    public var set: String
    public var key: Expression
    /// The statement form: an anonymous list of the map's data.
    public var data: Expression?
    /// Milliseconds.
    public var timeout: UInt64?
    public var statements: [Statement]
    /// From the old `meter NAME { ... }` form.
    public var isMeter: Bool
}

public enum ObjectKind: String, Sendable, Hashable, CaseIterable {
    case counter, quota, limit, synproxy, secmark, tunnel
    case ctHelper = "ct helper", ctTimeout = "ct timeout", ctExpectation = "ct expectation"
}

public struct Queue: Sendable {
    /// A number, range, or an expression such as numgen.
    public var target: Expression
    public var bypass: Bool
    public var fanout: Bool
}

public struct Synproxy: Sendable, Hashable {
    public var mss: UInt16?
    public var windowScale: UInt8?
    public var timestamp: Bool
    public var sackPermitted: Bool
}

public indirect enum Statement: Sendable {
    case match(Match)
    case verdict(Verdict)
    /// `key vmap source`; no match: go on with the next statement's rule as after a failed match.
    case verdictMap(key: Expression, SetSource)
    case counter(packets: UInt64, bytes: UInt64)
    case limit(Limit)
    case quota(Quota)
    /// Milliseconds since the last match, nil: never.
    case last(used: UInt64?)
    case connectionLimit(count: UInt32, isOver: Bool)
    case log(Log)
    case reject(RejectKind)
    case nat(NAT)
    case notrack
    case setMeta(MetaKey, Expression)
    case setConntrack(ConntrackField, Expression)
    case setPayload(PayloadField, Expression)
    /// `tcp option maxseg size set 1400`, `ip6 frag ... set`.
    case setOption(OptionField, Expression)
    /// `reset tcp option NAME`
    case resetOption(OptionField)
    case setUpdate(SetUpdate)
    /// `counter name "c"`, `ct helper set "x"`: a constant name (`.objectName`) or a map to names.
    case object(ObjectKind, Expression)
    case flowAdd(flowtable: String)
    case queue(Queue)
    case duplicate(address: Expression?, device: Expression?)
    case forward(device: Expression, address: Expression?, family: AddressFamily?)
    case tproxy(family: AddressFamily?, showsFamily: Bool, address: Expression?, port: Expression?)
    case synproxy(Synproxy)
    /// A match or target of iptables-nft: listed, never run.
    case xtables(kind: String, name: String)
}

extension Statement {
    /// The statement as it was before its first packet.
    public var unused: Statement {
        switch self {
        case .counter: return .counter(packets: 0, bytes: 0)
        case .quota(var quota):
            quota.used = 0
            return .quota(quota)
        case .last: return .last(used: nil)
        default: return self
        }
    }
}
