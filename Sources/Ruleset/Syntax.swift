// The syntax tree: what was written, before any type is known.
//
// Invariant: variables are resolved to the node that they were defined as; every node knows where it stands.

final class Node {
    let kind: NodeKind
    let location: SourceRange
    init(_ kind: NodeKind, _ location: SourceRange) {
        self.kind = kind
        self.location = location
    }

    /// The node behind variables.
    var resolved: Node {
        var node = self
        while case .variable(_, let value) = node.kind { node = value }
        return node
    }
}

indirect enum NodeKind {
    /// An unquoted word, number or address.
    case symbol(String)
    case quoted(String)
    /// `eth*`, without quotes.
    case wildcard(String)
    case variable(String, Node)
    case setReference(String)
    case block([SetItem])
    case map(Node, Node)
    case list([Node])
    case concatenation([Node])
    case range(Node, Node)
    case prefix(Node, Node)
    case binary(BinaryOperator, Node, Node)
    case payload(proto: String, field: String, tunnel: String?)
    case rawPayload(base: String, offset: UInt64, length: UInt64)
    case meta(MetaKey)
    case ct(String, direction: ConntrackDirection?, family: AddressFamily?)
    /// IPv6 extension header, TCP/IP option, SCTP chunk, DCCP option; nil field: presence.
    case option(OptionFamily, name: String, field: String?, raw: (offset: UInt64, length: UInt64)?)
    case fib(flags: [String], result: String)
    case route(key: String, family: AddressFamily?)
    case socket(key: String, level: UInt64)
    case osf(ttl: String?, version: Bool)
    case ipsec(inbound: Bool, number: UInt64, key: String)
    case tunnel(String)
    case numgen(NumberGeneratorMode, modulus: UInt64, offset: UInt64)
    case jhash(Node, modulus: UInt64, seed: UInt64?, offset: UInt64)
    case symhash(modulus: UInt64, offset: UInt64)
    case verdict(String, Node?)
    case anonymousChain(String, [RuleNode])
    case catchAll
}

struct SetItem {
    var key: Node
    var data: Node?
    var comment: String?
    var timeout: UInt64?
    var expires: UInt64?
    var statements: [StatementNode]
    var location: SourceRange
}

struct StatementNode {
    var kind: StatementKind
    var location: SourceRange
}

indirect enum StatementKind {
    case relational(Node, RelationalOperator?, Node)
    /// `left OP value / mask`
    case flagMatch(Node, RelationalOperator?, value: Node, mask: Node)
    case verdict(Node)
    case verdictMap(Node, Node)
    case counter(packets: UInt64, bytes: UInt64)
    case limit(Limit)
    case quota(Quota)
    case last(UInt64?)
    case connectionLimit(UInt32, over: Bool)
    case log(Log, prefix: Node?)
    /// nil kind: plain `reject`; `tcp reset`; or icmp, icmpv6, icmpx with a code.
    case reject(kind: String?, code: Node?)
    case nat(NATKind, family: AddressFamily?, prefix: Bool, address: Node?, port: Node?, flags: NATFlags)
    case notrack
    case set(Node, Node)
    case resetOption(name: String)
    case setUpdate(SetOperation, set: Node, item: SetItem, meter: (name: String, size: UInt64?)?)
    case object(ObjectKind, Node)
    case flowAdd(String)
    case queue(Node, bypass: Bool, fanout: Bool)
    case duplicate(address: Node?, device: Node?)
    case forward(device: Node, address: Node?, family: AddressFamily?)
    case tproxy(family: AddressFamily?, address: Node?, port: Node?)
    case synproxy(Synproxy)
    case xtables(kind: String, name: String)
    case invalid
}

struct RuleNode {
    var statements: [StatementNode]
    var comment: String?
    var location: SourceRange
}

struct ChainNode {
    var name: String
    var location: SourceRange
    var type: String?
    var typeLocation: SourceRange = .none
    var hook: String?
    var hookLocation: SourceRange = .none
    var priority: Node?
    var priorityOffset: Int64 = 0
    var policy: Node?
    var devices: Node?
    var comment: String?
    var offload = false
    var rules: [RuleNode] = []
    var bodyLocation: SourceRange = .none
}

struct SetNode {
    var name: String
    var location: SourceRange
    var isMap: Bool
    var keyTypes: [(name: String, location: SourceRange)] = []
    var typeof: Node?
    var dataTypes: [(name: String, location: SourceRange)] = []
    var dataTypeof: Node?
    var dataObject: ObjectKind?
    var hasIntervalData = false
    var flags: SetFlags = []
    var flagsLocation: SourceRange = .none
    var timeout: UInt64?
    var gcInterval: UInt64?
    var size: UInt64?
    var policy: String?
    var autoMerge = false
    var comment: String?
    var statements: [StatementNode] = []
    var elements: Node?
}

struct ObjectNode {
    var name: String
    var location: SourceRange
    var value: ObjectSyntax
    var comment: String?
}

enum ObjectSyntax {
    case counter(packets: UInt64, bytes: UInt64)
    case quota(Quota)
    case limit(Limit)
    case synproxy(Synproxy)
    case secmark(String)
    case ctHelper(type: String?, l4proto: String?, l3proto: String?)
    case ctTimeout(l4proto: String?, l3proto: String?, policy: [(String, UInt64, SourceRange)])
    case ctExpectation(l4proto: String?, l3proto: String?, port: UInt64?, timeout: UInt64?, size: UInt64?)
    case tunnel([String])
}

struct FlowtableNode {
    var name: String
    var location: SourceRange
    var hook: String?
    var priority: Node?
    var priorityOffset: Int64 = 0
    var devices: Node?
    var counter = false
    var offload = false
}

struct TableNode {
    var family: Family
    var name: String
    var location: SourceRange
    var comment: String?
    var flags: [String] = []
    var chains: [ChainNode] = []
    var sets: [SetNode] = []
    var objects: [ObjectNode] = []
    var flowtables: [FlowtableNode] = []
}

enum CommandOperation: String { case add, create, insert, replace, delete, destroy, flush, reset, list, get, rename, describe, monitor, export }

/// Where a command's thing is: family, table and name, or handle.
struct Target {
    var family: Family
    var table: String = ""
    var tableLocation: SourceRange = .none
    var name: String = ""
    var nameLocation: SourceRange = .none
    var handle: UInt64?
    var handleLocation: SourceRange = .none
}

enum RulePosition { case none, handle(UInt64, SourceRange), index(UInt64, SourceRange) }

enum CommandSubject {
    case table(TableNode)
    case chain(Target, ChainNode)
    case rule(Target, RuleNode, RulePosition)
    case set(Target, SetNode)
    case elements(Target, Node)
    case object(Target, ObjectNode)
    case flowtable(Target, FlowtableNode)
    /// Deletion, listing, flush, reset of one thing: its kind as nft calls it (`set`, `map`, `chain`, `counter`, `ct helper`, ...).
    case named(String, Target)
    /// Listing or flush of all of a kind (`ruleset`, `tables`, `chains`, ...), perhaps of one family or table.
    case all(String, Family?, table: String?)
    case rename(Target, String)
    case describe(Node)
    case monitor([String])
}

struct Command {
    var operation: CommandOperation
    var subject: CommandSubject
    var location: SourceRange
}

extension RuleNode {
    /// Where the rule names a chain to jump or go to: the name itself, or in a verdict map the key that leads there.
    func place(ofJumpTo chain: String) -> SourceRange? {
        func leads(_ node: Node) -> Node? {
            guard case .verdict(_, let target?) = node.resolved.kind else { return nil }
            switch target.resolved.kind {
            case .symbol(chain), .quoted(chain): return target
            default: return nil
            }
        }
        for statement in statements {
            switch statement.kind {
            case .verdict(let node):
                if let target = leads(node) { return target.location }
            case .verdictMap(_, let source):
                guard case .block(let items) = source.resolved.kind else { continue }
                if let item = items.first(where: { $0.data.flatMap(leads) != nil }) { return item.key.location }
            default: continue
            }
        }
        return nil
    }
}
