// Beforehand: which rules will keep traffic out of the flow cache, and what to write instead.
//
// The compiled program is read as the evaluator would run it for packets of established (or untracked) connections, the only
// ones that are ever cached, and each instruction is asked what the walk's record would say of it (`Instruction.obstacle`).
//
// Invariant: what a walk refuses for a rule, this names for that rule; a rule named here may be reached by no packet at all,
// since values are not followed.
import Ruleset

/// A rule that needs every packet, or a field that no guard covers.
public struct CacheObstacle: Sendable {
    public var location: SourceRange
    /// `family table chain`.
    public var chain: String
    public var reason: WalkRecord.Reason
    /// The traffic that it keeps in the slow path, in the rule's own words; empty for all that reaches it.
    public var traffic: String
    public var advice: String
}

extension CompiledRuleset {
    /// The rules of a ruleset that keep traffic out of the flow cache, in the order in which packets meet them.
    public static func cacheObstacles(_ ruleset: RulesetValue, interfaces: [Interface]) -> [CacheObstacle] {
        let compiler = Compiler(ruleset, interfaces: interfaces, seed: 0, now: 0, classifies: false)
        compiler.explains = true
        compiler.compile()
        var explanation = CacheExplanation(compiler)
        explanation.run()
        return explanation.obstacles
    }
}

extension Instruction {
    /// What the evaluator tells the walk's record when it runs this instruction, if that ends the flow's caching.
    func obstacle(_ sets: [SetPlan]) -> WalkRecord.Reason? {
        func reason(_ readClass: UInt8) -> WalkRecord.Reason? { readClass == ReadClass.constant || readClass >= ReadClass.tcpFlags ? nil : WalkRecord.Reason(rawValue: readClass) }
        switch op {
        case .fieldEqual, .fieldNotEqual: return reason(a)
        case .payload: return reason(UInt8(truncatingIfNeeded: value))
        case .meta:
            switch MetaKey(rawValue: b) {
            case .length: return .length
            case .cpu: return .cpu
            case .random: return .random
            case .time, .day, .hour: return .time
            default: return nil
            }
        case .conntrack:
            switch ConntrackKey(rawValue: b) {
            case .expiration, .bytes, .packets, .averagePacket: return .connectionAccounting
            default: return nil
            }
        // A packet with extension headers or IP options never meets the flow cache: without, the answer is the same for all.
        case .extensionHeader, .ipOption: return nil
        case .tcpOption, .setTCPOption, .resetTCPOption: return .tcpOption
        case .sctpChunk, .dccpOption, .tunnel: return .payload
        case .numgen: return .numgen
        case .setContains, .setLacks, .mapLookup, .verdictMap, .objectMap:
            let set = sets[Int(x)]
            if set.hasTimeout { return .timeoutSet }
            if set.isDynamic { return .dynamicSet }
            return op == .setLacks ? nil : set.statements.lazy.compactMap { Instruction($0.op).obstacle(sets) }.first
        case .dynamicSet: return .dynamicSet
        case .limit: return .limit
        case .quota: return .quota
        case .connectionLimit: return .connectionLimit
        case .last: return .last
        case .log: return .log
        case .setMeta: return b == MetaKey.trace.rawValue ? .trace : nil
        case .conntrackObject: return ConntrackView.Changes(rawValue: b) == .helper ? nil : .connectionChange
        case .setPayload: return second == 0 ? .mangle : nil
        case .duplicate, .forward: return .copy
        case .queue: return .queue
        case .synproxy: return .synproxy
        default: return nil
        }
    }
}

/// One walk over all chains.
private struct CacheExplanation {
    private let compiler: Compiler
    private let ruleset: RulesetValue
    private(set) var obstacles: [CacheObstacle] = []
    private var seen = Set<Int>()
    /// What `return` has sent back from each chain on the way.
    private var returned: [States] = []
    /// First rule of each chain, by the chain's number.
    private var firstRules: [Int] = []
    private var chains: [(table: Int, chain: Int)] = []

    /// Connection states of packets that may be cached.
    private typealias States = Set<UInt32>

    init(_ compiler: Compiler) {
        self.compiler = compiler
        ruleset = compiler.ruleset
        var rule = 0
        for (number, table) in ruleset.tables.enumerated() {
            for place in table.chains.indices {
                chains.append((number, place))
                firstRules.append(rule)
                rule += table.chains[place].rules.count
            }
        }
    }

    mutating func run() {
        var untracked: States = []
        for table in ruleset.tables { for chain in table.chains { for rule in chain.rules { for case .notrack in rule.statements { untracked = [ConntrackState.untracked] } } } }
        if compiler.services & (Program.bit(.conntrack, .ipv4) | Program.bit(.conntrack, .ipv6)) == 0 { untracked.insert(0) }
        for number in chains.indices {
            guard let base = chain(number).base, base.type != .nat else { continue }
            if base.hook == .ingress || base.hook == .egress {
                obstacles.append(CacheObstacle(
                    location: chain(number).rules.first?.location ?? .none, chain: name(number), reason: .linkHeader, traffic: "",
                    advice: "a chain of a device sees every frame, so that nothing of that device is cached: use a chain at prerouting with iifname, before conntrack (priority raw), if the rules allow it"))
                continue
            }
            _ = visit(number, untracked.union([ConntrackState.established]), depth: 0)
        }
    }

    private func chain(_ number: Int) -> Chain { ruleset.tables[chains[number].table].chains[chains[number].chain] }
    private func name(_ number: Int) -> String { "\(compiler.chains[number].family.rawValue) \(compiler.chains[number].table) \(compiler.chains[number].name)" }

    /// The states of packets that come back from a chain or reach its end.
    private mutating func visit(_ number: Int, _ arriving: States, depth: Int) -> States {
        guard depth < 16 else { return arriving }
        returned.append([])
        var states = arriving
        for (place, rule) in chain(number).rules.enumerated() {
            if states.isEmpty { break }
            states = visit(rule, firstRules[number] + place, number, states, depth)
        }
        return states.union(returned.removeLast())
    }

    /// The states of packets that go on behind a rule.
    private mutating func visit(_ rule: Rule, _ ruleNumber: Int, _ number: Int, _ arriving: States, _ depth: Int) -> States {
        let starts = compiler.statementStarts[ruleNumber]
        var reader = ConditionReader()
        reader.readsFlags = true
        var inside = arriving
        /// Whether every packet of the states in `inside` passes what came so far.
        var isSure = true
        for (index, statement) in rule.statements.enumerated() {
            for place in starts[index] ..< starts[index + 1] {
                let instruction = compiler.instructions[place]
                if instruction.op == .never { return arriving }
                if let reason = instruction.obstacle(compiler.sets), !inside.isEmpty { report(reason, rule, ruleNumber, number, index) }
                switch instruction.op {
                case .setContains, .setLacks, .mapLookup:
                    let set = compiler.sets[Int(instruction.x)]
                    if set.name == nil, set.statements.isEmpty { _ = reader.look(instruction, in: set) }
                default: _ = reader.read(instruction, compiler.constants)
                }
            }
            guard let after = narrow(inside, reader.conditions) else { return arriving }
            isSure = isSure && CacheExplanation.passesAll(statement)
            inside = after
            switch statement {
            case .verdict(let verdict): return leave(verdict, inside, arriving, isSure, depth, number)
            case .verdictMap(let key, _):
                guard CacheExplanation.isState(key), isSure, let place = (starts[index] ..< starts[index + 1]).last else { return visitTargets(starts[index + 1] - 1, inside, depth, arriving) }
                return leave(map: compiler.sets[Int(compiler.instructions[place].x)], inside, arriving, depth)
            default: break
            }
        }
        return arriving
    }

    /// nil if no packet that may be cached passes the conditions.
    private func narrow(_ states: States, _ conditions: Conditions) -> States? {
        var left = states
        for (dimension, ranges) in conditions {
            if dimension.op == Opcode.conntrack.rawValue, dimension.b == ConntrackKey.state.rawValue {
                left = left.filter { state in ranges.pieces.contains { $0.low <= UInt128(state) && UInt128(state) <= $0.high } }
            }
            // The flags of a connection's first and last packets: such packets are never cached.
            if dimension.op == Opcode.payload.rawValue, dimension.b == PayloadBase.transport.rawValue, dimension.x == 13, dimension.length == 1 {
                let hasPlain = ranges.pieces.contains { piece in (piece.low ... piece.high).contains { $0 & ~dimension.mask == 0 && $0 & 0x07 == 0 } }
                if !hasPlain { return nil }
            }
        }
        return left.isEmpty ? nil : left
    }

    private static func isState(_ expression: Ruleset.Expression) -> Bool { if case .ct(let field) = expression { field.key == .state } else { false } }
    /// Whether a statement lets all packets pass, of the states that its conditions name.
    private static func passesAll(_ statement: Statement) -> Bool {
        switch statement {
        case .match(let match): isState(match.left)
        case .counter, .log, .setMeta, .verdict, .verdictMap: true
        default: false
        }
    }

    private mutating func leave(_ verdict: Ruleset.Verdict, _ inside: States, _ arriving: States, _ isSure: Bool, _ depth: Int, _ number: Int) -> States {
        switch verdict {
        case .continue: return arriving
        case .accept, .drop: return isSure ? arriving.subtracting(inside) : arriving
        case .return:
            guard isSure else { return arriving }
            returned[returned.count - 1].formUnion(inside)
            return arriving.subtracting(inside)
        case .jump(let name), .goto(let name):
            guard let target = compiler.chainNumbers[chains[number].table][name] else { return arriving }
            let back = visit(target, inside, depth: depth + 1)
            guard isSure else { return arriving }
            if case .goto = verdict { return arriving.subtracting(inside) }
            return arriving.subtracting(inside).union(back)
        }
    }

    /// A verdict map over the connection state.
    private mutating func leave(map set: SetPlan, _ inside: States, _ arriving: States, _ depth: Int) -> States {
        var left = arriving
        for state in inside {
            guard let element = set.elements.first(where: { $0.first.count == 4 && $0.first.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } == state }) else { continue }
            switch Opcode(rawValue: element.data.first ?? Opcode.resume.rawValue) {
            case .accept, .drop: left.remove(state)
            case .returnToCaller:
                returned[returned.count - 1].insert(state)
                left.remove(state)
            case .jump, .goTo:
                guard let chain = element.chain else { continue }
                let back = visit(chain, [state], depth: depth + 1)
                if back.isEmpty || element.data.first == Opcode.goTo.rawValue { left.remove(state) }
            default: continue
            }
        }
        return left
    }

    /// A verdict map over something else: its chains may be reached.
    private mutating func visitTargets(_ place: Int, _ inside: States, _ depth: Int, _ arriving: States) -> States {
        let instruction = compiler.instructions[place]
        guard instruction.op == .verdictMap else { return arriving }
        for chain in Set(compiler.sets[Int(instruction.x)].elements.compactMap(\.chain)).sorted() { _ = visit(chain, inside, depth: depth + 1) }
        return arriving
    }

    private mutating func report(_ reason: WalkRecord.Reason, _ rule: Rule, _ ruleNumber: Int, _ number: Int, _ index: Int) {
        guard seen.insert(ruleNumber).inserted else { return }
        let matches = rule.statements[..<index].filter { if case .match = $0 { true } else { false } }
        let table = ruleset.tables[chains[number].table]
        let traffic = matches.isEmpty ? "" : Printer().rule(Rule(handle: 0, statements: matches), in: table, depth: 0)
        obstacles.append(CacheObstacle(
            location: rule.location, chain: name(number), reason: reason, traffic: traffic.trimmingSpace, advice: reason.advice))
    }
}

extension String {
    fileprivate var trimmingSpace: String { String(drop { $0 == " " || $0 == "\t" }).split(separator: "\n").first.map(String.init) ?? "" }
}

extension WalkRecord.Reason {
    /// What to write instead of a rule that needs every packet for this reason.
    var advice: String {
        switch self {
        case .none, .tooManyCounters: "fewer counters on one packet's way"
        case .limit: "to limit new connections, put `ct state new` before the limit"
        case .quota: "a quota needs every packet; to count only, use `counter`; else restrict it by further matches before it"
        case .log: "log new connections only: put `ct state new` before `log`"
        case .numgen, .random: "choose once for a connection: `ct state new ct mark set ...`, and match `ct mark` after that"
        case .dynamicSet: "use the set for new connections only: put `ct state new` before it"
        case .timeoutSet: "look up new connections only (`ct state new`), or use a set without timeouts"
        case .connectionLimit: "count new connections only: put `ct state new` before `ct count`"
        case .last: "put `ct state new` before `last`, or use `counter`"
        case .time: "ask for new connections only: put `ct state new` before the time"
        case .trace: "leave tracing out when it has shown what it should"
        case .queue: "queue new connections only: put `ct state new` before `queue`"
        case .copy: "a copy needs every packet: restrict it by further matches before it"
        case .synproxy: "restrict it to SYN and untracked packets: `tcp flags syn`, as the manual shows"
        case .length: "leave the length out, or put `ct state new` before it"
        case .timeToLive: "leave the TTL out, or put `ct state new` before it"
        case .linkHeader: "match the interface (`iifname`) instead of link addresses, or put `ct state new` before it"
        case .otherHeader: "leave this header field out, or put `ct state new` before it"
        case .payload: "leave what is behind the ports out, or put `ct state new` before it"
        case .tcpOption: "restrict it to packets that open a connection: `tcp flags syn`"
        case .connectionAccounting: "a connection's counts change with every packet: match `ct mark`, set once, or restrict it by further matches before it"
        case .cpu: "leave the processor out"
        case .mangle: "DSCP and ECN set to a constant are cached, and addresses and ports by NAT; other changes need every packet: restrict them by further matches before them"
        case .connectionChange: "assign it to new connections only: put `ct state new` before it"
        }
    }
}
