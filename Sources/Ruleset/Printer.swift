// The canonical listing of tables, chains, sets and objects.
//
// Invariant: what is printed loads again to the same value, and printing that gives the same text.

public struct Printer {
    var options: PrintOptions
    private(set) public var output = ""

    public init(options: PrintOptions = PrintOptions()) { self.options = options }

    private mutating func line(_ depth: Int, _ text: String) {
        output += String(repeating: "\t", count: depth)
        output += text
        output += "\n"
    }

    private func handle(_ number: UInt64) -> String { options.handles ? " # handle \(number)" : "" }

    public mutating func ruleset(_ value: RulesetValue, family: Family? = nil) {
        for table in value.tables where family == nil || table.family == family { self.table(table) }
    }

    public mutating func table(_ table: Table) {
        line(0, "table \(table.family.rawValue) \(name(table.name)) {" + handleWithFlags(table))
        var separator = false
        if let comment = table.comment { line(1, "comment \"\(comment)\"") }
        var flags: [String] = []
        if table.isDormant { flags.append("dormant") }
        if table.isOwned { flags.append("owner") }
        if table.isPersistent { flags.append("persist") }
        if !flags.isEmpty { line(1, "flags \(flags.joined(separator: ","))") }
        func gap(_ printer: inout Printer) {
            if separator { printer.output += "\n" }
            separator = true
        }
        for kind in [ObjectKind.counter, .quota, .ctHelper, .limit, .ctTimeout, .secmark, .ctExpectation, .synproxy, .tunnel] {
            for object in table.objects where object.value.kind == kind {
                gap(&self)
                self.object(object, depth: 1)
            }
        }
        for set in table.sets {
            gap(&self)
            self.set(set, depth: 1)
        }
        for flowtable in table.flowtables {
            gap(&self)
            self.flowtable(flowtable, depth: 1)
        }
        for chain in table.chains where !chain.isAnonymous {
            gap(&self)
            self.chain(chain, in: table, depth: 1)
        }
        line(0, "}")
    }

    private func handleWithFlags(_ table: Table) -> String { handle(table.handle) }

    func name(_ name: String) -> String { name }

    /// The header line of a listing of a part of a table.
    public mutating func wrapped(_ table: Table, _ body: (inout Printer) -> Void) {
        line(0, "table \(table.family.rawValue) \(name(table.name)) {")
        body(&self)
        line(0, "}")
    }

    // MARK: Chains

    public mutating func chain(_ chain: Chain, in table: Table, depth: Int) {
        line(depth, "chain \(chain.name) {" + handle(chain.handle))
        if let comment = chain.comment { line(depth + 1, "comment \"\(comment)\"") }
        if let base = chain.base { line(depth + 1, baseText(base, table.family)) }
        if chain.isHardwareOffload { line(depth + 1, "flags offload") }
        for rule in chain.rules { line(depth + 1, self.rule(rule, in: table, depth: depth + 1) + handle(rule.handle)) }
        line(depth, "}")
    }

    func deviceList(_ devices: [String]) -> String { "{ " + devices.map { "\"\($0)\"" }.joined(separator: ", ") + " }" }

    func baseText(_ base: BaseChain, _ family: Family) -> String {
        var text = "type \(base.type.rawValue) hook \(base.hook.rawValue)"
        if base.devices.count == 1, !base.devices[0].hasSuffix("*") { text += " device \"\(base.devices[0])\"" } else if !base.devices.isEmpty { text += " devices = \(deviceList(base.devices.sorted()))" }
        let priority = options.numericPriority || options.numeric ? String(base.priority) : Priorities.text(base.priority, family: family, hook: base.hook)
        return text + " priority \(priority); policy \((base.policy ?? .accept).rawValue);"
    }

    public func rule(_ rule: Rule, in table: Table, depth: Int) -> String {
        let writer = StatementWriter(options: options, table: table, depth: depth)
        var parts: [String] = []
        for statement in rule.statements {
            if case .match(let match) = statement, match.isImplicit { continue }
            parts.append(writer.text(statement))
        }
        if let comment = rule.comment { parts.append("comment \"\(comment)\"") }
        return parts.joined(separator: " ")
    }

    // MARK: Sets

    public mutating func set(_ set: NamedSet, depth: Int) {
        let writer = StatementWriter(options: options, table: nil, depth: depth)
        line(depth, "\(set.isMap ? "map" : "set") \(set.name) {" + handle(set.handle))
        var type = set.keyExpressions.isEmpty ? "type " + set.keyType.name : "typeof " + set.keyExpressions.map { writer.expression($0) }.joined(separator: " . ")
        switch set.data {
        case .value(let data)?:
            type += " : " + (isInterval(set) ? "interval " : "")
            if let expression = set.dataExpression {
                type += writer.expression(expression)
            } else {
                type += data.name
            }
        case .verdict?: type += " : verdict"
        case .object(let kind)?: type += " : " + kind.rawValue
        case nil: break
        }
        line(depth + 1, type)
        let isConstant = set.flags.contains(.constant)
        if set.prefersMemory, !isConstant { line(depth + 1, "policy memory") }
        if let size = set.size, !isConstant { line(depth + 1, "size \(size)" + (set.elements.isEmpty ? "" : "\t# count \(set.elements.count)")) }
        let flags = flagNames(set)
        if !flags.isEmpty { line(depth + 1, "flags " + flags.joined(separator: ",")) }
        var bare = options
        bare.stateless = true
        let template = StatementWriter(options: bare, table: nil, depth: depth)
        if !set.statements.isEmpty { line(depth + 1, set.statements.map { template.text($0, inSet: true) }.joined(separator: " ")) }
        if let timeout = set.timeout { line(depth + 1, "timeout " + TimeText.text(timeout)) }
        if let interval = set.gcInterval { line(depth + 1, "gc-interval " + TimeText.text(interval)) }
        if set.autoMerge { line(depth + 1, "auto-merge") }
        if let comment = set.comment { line(depth + 1, "comment \"\(comment)\"") }
        if !set.elements.isEmpty, !options.terse { line(depth + 1, "elements = " + elements(set, set.elements, writer)) }
        line(depth, "}")
    }

    /// The flags that are listed: a timeout given in the declaration says itself that there are timeouts.
    func flagNames(_ set: NamedSet) -> [String] {
        var flags: [String] = []
        if set.flags.contains(.constant) { flags.append("constant") }
        if set.flags.contains(.dynamic) { flags.append("dynamic") }
        if set.flags.contains(.interval) { flags.append("interval") }
        if set.flags.contains(.timeout), set.timeout == nil || set.flags.contains(.dynamic) { flags.append("timeout") }
        return flags
    }

    func isInterval(_ set: NamedSet) -> Bool { set.hasIntervalData }

    func elements(_ set: NamedSet, _ elements: [SetElement], _ writer: StatementWriter) -> String {
        // Some kinds of numbers stand five in a line, IPv4 addresses and short words two, everything else alone.
        var perLine = 1
        if !set.isMap, !set.keyType.isConcatenation, !elements.contains(where: { !$0.statements.isEmpty }) {
            switch set.keyType.basic {
            case .nfProto, .integer, .hexInteger, .arpOperation, .inetProtocol, .inetService, .tcpFlag, .dccpPacketType, .mark, .interfaceIndex, .classID, .userID, .groupID, .ctDirection: perLine = 5
            case .ipv4Address, .ctState, .ctStatus, .packetType: perLine = 2
            default: perLine = 1
            }
        }
        var text = "{ "
        var count = 0
        for (index, element) in elements.enumerated() {
            if index > 0 {
                if count < perLine { text += ", " } else { text += ",\n\t\t\t     "; count = 0 }
            }
            text += writer.element(element)
            count += 1
        }
        return text + " }"
    }

    public mutating func elementList(_ set: NamedSet, _ elements: [SetElement], depth: Int) {
        var bare = set
        bare.elements = elements
        self.set(bare, depth: depth)
    }

    // MARK: Objects

    public mutating func object(_ object: NamedObject, depth: Int) {
        line(depth, "\(object.value.kind.rawValue) \(object.name) {" + handle(object.handle))
        if let comment = object.comment { line(depth + 1, "comment \"\(comment)\"") }
        switch object.value {
        case .counter(let packets, let bytes): if !options.stateless { line(depth + 1, "packets \(packets) bytes \(bytes)") }
        case .quota(let quota): line(depth + 1, StatementWriter.quota(quota, stateless: options.stateless))
        case .limit(let limit): line(depth + 1, StatementWriter.limit(limit, isObject: true))
        case .synproxy(let synproxy):
            if let mss = synproxy.mss { line(depth + 1, "mss \(mss)") }
            if let scale = synproxy.windowScale { line(depth + 1, "wscale \(scale)") }
            let flags = [synproxy.timestamp ? "timestamp" : nil, synproxy.sackPermitted ? "sack-perm" : nil].compactMap { $0 }
            if !flags.isEmpty { line(depth + 1, flags.joined(separator: " ")) }
        case .secmark(let context): line(depth + 1, "\"\(context)\"")
        case .ctHelper(let type, let l4, let l3):
            line(depth + 1, "type \"\(type)\" protocol \(l4 == 6 ? "tcp" : "udp")")
            line(depth + 1, "l3proto \(l3.rawValue)")
        case .ctTimeout(let l4, let l3, let policy):
            line(depth + 1, "protocol \(l4 == 6 ? "tcp" : "udp")")
            line(depth + 1, "l3proto \(l3.rawValue)")
            if !policy.isEmpty { line(depth + 1, "policy = { " + policy.map { "\($0.state) : \(TimeText.text(UInt64($0.seconds) * 1000))" }.joined(separator: ", ") + " }") }
        case .ctExpectation(let l4, let l3, let port, let timeout, let size):
            line(depth + 1, "protocol \(l4 == 6 ? "tcp" : "udp")")
            line(depth + 1, "dport \(port)")
            line(depth + 1, "timeout \(TimeText.text(timeout))")
            line(depth + 1, "size \(size)")
            line(depth + 1, "l3proto \(l3.rawValue)")
        case .tunnel(let lines): for text in lines { line(depth + 1, text) }
        }
        line(depth, "}")
    }

    public mutating func flowtable(_ flowtable: Flowtable, depth: Int) {
        line(depth, "flowtable \(flowtable.name) {" + handle(flowtable.handle))
        let priority = options.numericPriority || options.numeric ? String(flowtable.priority) : Priorities.text(flowtable.priority, family: .netdev, hook: .ingress)
        line(depth + 1, "hook ingress priority \(priority)")
        if !flowtable.devices.isEmpty { line(depth + 1, "devices = \(deviceList(flowtable.devices))") }
        if flowtable.offload { line(depth + 1, "flags offload") }
        if flowtable.counter { line(depth + 1, "counter") }
        line(depth, "}")
    }

    public mutating func raw(_ text: String) { output += text }
}

enum TimeText {
    /// `1d2h3m4s5ms`
    static func text(_ milliseconds: UInt64) -> String {
        if milliseconds == 0 { return "0s" }
        var rest = milliseconds
        let days = rest / 86_400_000
        rest %= 86_400_000
        let hours = rest / 3_600_000
        rest %= 3_600_000
        let minutes = rest / 60000
        rest %= 60000
        let seconds = rest / 1000
        let thousandths = rest % 1000
        var text = ""
        if days > 0 { text += "\(days)d" }
        if hours > 0 { text += "\(hours)h" }
        if minutes > 0 { text += "\(minutes)m" }
        if seconds > 0 { text += "\(seconds)s" }
        if thousandths > 0 { text += "\(thousandths)ms" }
        return text
    }
}
