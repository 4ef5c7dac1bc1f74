// What statements refer to: chains, sets, objects; and the anonymous sets that they hold.

enum References {
    static func chains(_ verdict: Verdict) -> [String] {
        switch verdict {
        case .jump(let name), .goto(let name): [name]
        default: []
        }
    }

    static func chains(_ expression: Expression?) -> [String] {
        if case .verdict(let verdict)? = expression { return chains(verdict) }
        return []
    }

    /// The chains that a statement may go to, maps in place included (named ones are the caller's matter).
    static func chains(_ statement: Statement) -> [String] {
        switch statement {
        case .verdict(let verdict): chains(verdict)
        case .verdictMap(_, .anonymous(let set)): set.elements.flatMap { chains($0.data) }
        default: []
        }
    }

    /// The named sets, maps, that an expression looks into.
    static func sets(_ expression: Expression) -> [String] {
        switch expression {
        case .set(.named(let name)): [name]
        case .map(let key, .named(let name), _): [name] + sets(key)
        case .map(let key, _, _): sets(key)
        case .concatenation(let parts): parts.flatMap(sets)
        case .binary(_, let left, let right, _): sets(left) + sets(right)
        case .jhash(let key, _, _, _, _): sets(key)
        default: []
        }
    }

    static func expressions(_ statement: Statement) -> [Expression] {
        switch statement {
        case .match(let match): [match.left, match.right]
        case .verdictMap(let key, let source): [.map(key: key, source, type: Datatypes.make(.verdict))]
        case .nat(let nat): [nat.address, nat.port].compactMap { $0 }
        case .setMeta(_, let value), .setConntrack(_, let value), .setPayload(_, let value), .setOption(_, let value), .object(_, let value): [value]
        case .setUpdate(let update): [update.key] + (update.data.map { [$0] } ?? [])
        case .queue(let queue): [queue.target]
        case .duplicate(let address, let device): [address, device].compactMap { $0 }
        case .forward(let device, let address, _): [device] + (address.map { [$0] } ?? [])
        case .tproxy(_, _, let address, let port): [address, port].compactMap { $0 }
        default: []
        }
    }

    static func sets(_ statement: Statement) -> [String] {
        var names = expressions(statement).flatMap(sets)
        if case .setUpdate(let update) = statement { names.append(update.set) }
        return names
    }

    static func objects(_ statement: Statement) -> [(ObjectKind, String)] {
        switch statement {
        case .object(let kind, .objectName(let name)): [(kind, name)]
        case .object(let kind, .map(_, .anonymous(let set), _)): set.elements.compactMap { if case .objectName(let name)? = $0.data { (kind, name) } else { nil } }
        default: []
        }
    }

    static func anonymousSets(_ expression: Expression) -> Int {
        switch expression {
        case .set(.anonymous): 1
        case .map(let key, let source, _): anonymousSets(key) + { if case .anonymous = source { 1 } else { 0 } }()
        case .concatenation(let parts): parts.reduce(0) { $0 + anonymousSets($1) }
        case .binary(_, let left, let right, _): anonymousSets(left) + anonymousSets(right)
        case .jhash(let key, _, _, _, _): anonymousSets(key)
        default: 0
        }
    }
    static func anonymousSets(_ statement: Statement) -> Int { expressions(statement).reduce(0) { $0 + anonymousSets($1) } }
}
