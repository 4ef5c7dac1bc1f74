// The ruleset as a value: what `nft list ruleset` shows and what Policy compiles.
//
// Invariant: every reference (chain, set, object, flowtable by name) resolves within its table; handles are unique in a
// table. Values share what did not change (copy on write), so a transaction works on a copy and an error drops it.

public enum Family: String, Sendable, Hashable, CaseIterable { case ip, ip6, inet, arp, bridge, netdev }

public enum ChainType: String, Sendable, Hashable { case filter, nat, route }
public enum ChainHook: String, Sendable, Hashable { case prerouting, input, forward, output, postrouting, ingress, egress }
public enum ChainPolicy: String, Sendable, Hashable { case accept, drop }

public struct Rule: Sendable {
    public var handle: UInt64
    /// How often the rule with this handle was replaced: what replaces another one takes over its handle, and nothing of its state.
    public var version: UInt32 = 0
    public var statements: [Statement]
    public var comment: String?
    /// The whole rule in its source; `location.position` and `location.text` for messages.
    public var location: SourceRange
    public init(handle: UInt64, statements: [Statement], comment: String? = nil, location: SourceRange = .none) {
        self.handle = handle
        self.statements = statements
        self.comment = comment
        self.location = location
    }
}

/// What makes a chain a base chain.
public struct BaseChain: Sendable {
    public var type: ChainType
    public var hook: ChainHook
    public var priority: Int32
    public var policy: ChainPolicy?
    public var devices: [String]
    public init(type: ChainType, hook: ChainHook, priority: Int32, policy: ChainPolicy?, devices: [String]) {
        self.type = type
        self.hook = hook
        self.priority = priority
        self.policy = policy
        self.devices = devices
    }
}

public struct Chain: Sendable {
    public var name: String
    public var handle: UInt64
    public var base: BaseChain?
    public var rules: [Rule]
    public var comment: String?
    /// `flags offload`
    public var isHardwareOffload = false
    /// Made for `jump { ... }`: listed inside its rule.
    public var isAnonymous = false
    /// Of a base chain: the higher, the later it was hung on its hook, by its creation or its table's awakening. Of equal priorities the
    /// last one runs first (nf_hook_entries_grow).
    public var registration: UInt64 = 0
    public var location: SourceRange = .none
    public init(name: String, handle: UInt64, base: BaseChain?, rules: [Rule] = [], comment: String? = nil) {
        self.name = name
        self.handle = handle
        self.base = base
        self.rules = rules
        self.comment = comment
    }
}

public struct SetFlags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let constant = SetFlags(rawValue: 1), interval = SetFlags(rawValue: 2), timeout = SetFlags(rawValue: 4), dynamic = SetFlags(rawValue: 8)
}

public struct SetElement: Sendable {
    /// A value, prefix, range, concatenation of those, or `.catchAll`.
    public var key: Expression
    /// A map's data: value, range, concatenation, verdict or object name.
    public var data: Expression?
    public var comment: String?
    /// Milliseconds.
    public var timeout: UInt64?
    public var expires: UInt64?
    /// What the transaction that made this value did to it.
    public var standing = Standing.kept
    /// Stateful statements of this element.
    public var statements: [Statement]
    public init(key: Expression, data: Expression? = nil, comment: String? = nil, timeout: UInt64? = nil, expires: UInt64? = nil, statements: [Statement] = []) {
        self.key = key
        self.data = data
        self.comment = comment
        self.timeout = timeout
        self.expires = expires
        self.statements = statements
    }
}

extension SetElement {
    /// Where an element stands after a transaction, for who puts it in force.
    public enum Standing: Sendable {
        /// As it was: its time runs on, its statements count on.
        case kept
        /// Given another time, which begins now.
        case renewed
        /// New, also where one of the same key was taken away: nothing of that one counts.
        case fresh
    }
}

/// What a map's data is.
public enum MapData: Sendable {
    case value(Datatype)
    case verdict
    case object(ObjectKind)
}

/// A named set or map.
public struct NamedSet: Sendable {
    public var name: String
    public var handle: UInt64
    public var keyType: Datatype
    /// nil: a set.
    public var data: MapData?
    /// Declared with `typeof`: the expressions, for listing.
    public var keyExpressions: [Expression]
    public var dataExpression: Expression?
    /// `interval` data of a map (`typeof ... : interval ip daddr`).
    public var hasIntervalData = false
    public var flags: SetFlags
    /// Default timeout and garbage collection interval, milliseconds.
    public var timeout: UInt64?
    public var gcInterval: UInt64?
    public var size: UInt32?
    /// `policy memory`
    public var prefersMemory = false
    public var autoMerge = false
    public var comment: String?
    /// Stateful statements that each new element gets.
    public var statements: [Statement] = []
    /// Sorted as listed.
    public var elements: [SetElement]
    /// Places of `size` that elements take which have ended, until they are collected.
    public var lingering = 0
    public var location: SourceRange = .none
    public var isMap: Bool { data != nil }
    public init(name: String, handle: UInt64, keyType: Datatype, data: MapData?, flags: SetFlags, elements: [SetElement] = []) {
        self.name = name
        self.handle = handle
        self.keyType = keyType
        self.data = data
        self.flags = flags
        self.elements = elements
        keyExpressions = []
    }
}

public enum ObjectValue: Sendable {
    case counter(packets: UInt64, bytes: UInt64)
    case quota(Quota)
    case limit(Limit)
    case synproxy(Synproxy)
    case secmark(String)
    case ctHelper(type: String, l4proto: UInt8, l3proto: Family)
    /// Seconds by state name.
    case ctTimeout(l4proto: UInt8, l3proto: Family, policy: [(state: String, seconds: UInt32)])
    /// Timeout in milliseconds.
    case ctExpectation(l4proto: UInt8, l3proto: Family, port: UInt16, timeout: UInt64, size: UInt8)
    /// Listed as it was written.
    case tunnel(lines: [String])

    public var kind: ObjectKind {
        switch self {
        case .counter: .counter
        case .quota: .quota
        case .limit: .limit
        case .synproxy: .synproxy
        case .secmark: .secmark
        case .ctHelper: .ctHelper
        case .ctTimeout: .ctTimeout
        case .ctExpectation: .ctExpectation
        case .tunnel: .tunnel
        }
    }
}

public struct NamedObject: Sendable {
    public var name: String
    public var handle: UInt64
    public var value: ObjectValue
    public var comment: String?
    public var location: SourceRange = .none
}

public struct Flowtable: Sendable {
    public var name: String
    public var handle: UInt64
    public var priority: Int32
    public var devices: [String]
    public var counter: Bool
    public var offload: Bool
    public var location: SourceRange = .none
}

public struct Table: Sendable {
    public var family: Family
    public var name: String
    public var handle: UInt64
    public var comment: String?
    public var isDormant = false
    public var isOwned = false
    public var isPersistent = false
    /// In the order of creation; every name once in its list.
    public var chains: [Chain] = []
    public var sets: [NamedSet] = []
    public var objects: [NamedObject] = []
    public var flowtables: [Flowtable] = []
    /// The next handle of this table.
    var nextHandle: UInt64 = 1
    public init(family: Family, name: String, handle: UInt64) {
        self.family = family
        self.name = name
        self.handle = handle
    }
    public func chain(_ name: String) -> Chain? { chains.first { $0.name == name } }
    public func set(_ name: String) -> NamedSet? { sets.first { $0.name == name } }
    public func object(_ kind: ObjectKind, _ name: String) -> NamedObject? { objects.first { $0.name == name && $0.value.kind == kind } }
    public func flowtable(_ name: String) -> Flowtable? { flowtables.first { $0.name == name } }
}

/// All tables. A value: copies are cheap and independent.
public struct RulesetValue: Sendable {
    public var tables: [Table] = []
    var nextHandle: UInt64 = 1
    var nextRegistration: UInt64 = 1
    public init() {}
    public func table(_ family: Family, _ name: String) -> Table? { tables.first { $0.family == family && $0.name == name } }
}
