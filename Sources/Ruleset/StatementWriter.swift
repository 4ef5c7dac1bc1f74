// Statements and expressions as they are listed.

struct StatementWriter {
    let options: PrintOptions
    /// For the rules of anonymous chains.
    let table: Table?
    let depth: Int

    // MARK: Values

    func value(_ value: Value, numeric: Bool = false) -> String {
        let number = value.number
        let numeric = numeric || options.numeric
        switch value.type.basic {
        case .ipv4Address: return Symbols.ipv4Text(number)
        case .ipv6Address: return Symbols.ipv6Text(number)
        case .etherAddress: return Symbols.etherText(number)
        case .linkAddress: return value.bytes.map { Symbols.hex($0, 2) }.joined(separator: ":")
        case .inetService:
            if options.serviceNames, !numeric, let name = Symbols.serviceName(UInt16(truncatingIfNeeded: number)) { return "\"\(name)\"" }
            return String(number)
        case .inetProtocol:
            if !options.numericProtocol, !numeric, let name = Symbols.name(number, .inetProtocol) { return name }
            return String(number)
        case .mark: return "0x" + Symbols.hex(number, 8)
        case .interfaceIndex:
            if let name = InterfaceNames.name(of: Int(truncatingIfNeeded: number)) { return "\"\(name)\"" }
            return String(number)
        case .interfaceName, .string, .interfaceKind, .osfName: return "\"\(escaped(value))\""
        case .time: return numeric ? "\(number / 1000)s" : TimeText.text(UInt64(truncatingIfNeeded: number))
        case .date:
            if options.numericTime || options.numeric { return String(number / 1_000_000_000) }
            return "\"\(DateText.dateText(UInt64(truncatingIfNeeded: number)))\""
        case .hour:
            if options.numericTime || options.numeric { return String(number) }
            return "\"\(DateText.hourText(Int(truncatingIfNeeded: number)))\""
        case .day:
            if options.numericTime || options.numeric { return String(number) }
            return Symbols.name(number, .day).map { "\"\($0)\"" } ?? String(number)
        case .userID:
            if options.userNames, let name = UserNames.user(UInt32(truncatingIfNeeded: number)) { return "\"\(name)\"" }
            return String(number)
        case .groupID:
            if options.userNames, let name = UserNames.group(UInt32(truncatingIfNeeded: number)) { return "\"\(name)\"" }
            return String(number)
        case .classID:
            if number == 0 { return "none" }
            if number == 0xffff_ffff { return "root" }
            return String(number >> 16, radix: 16) + ":" + String(number & 0xffff, radix: 16)
        case .ctLabel:
            let bits = (0..<128).filter { number >> UInt128($0) & 1 == 1 }
            return bits.map(String.init).joined(separator: ",")
        case .cgroupV2: return CgroupNames.path(of: number).map { "\"\($0)\"" } ?? String(number)
        case .hexInteger: return "0x" + String(number, radix: 16)
        case .icmpCode, .icmpv6Code, .icmpxCode: return String(number)
        case .realm:
            if !numeric, let name = Symbols.name(number, .realm) { return "\"\(name)\"" }
            return String(number)
        case .deviceGroup:
            if !numeric, let name = Symbols.name(number, .deviceGroup) { return "\"\(name)\"" }
            return String(number)
        case .dscp:
            if !numeric, let name = Symbols.name(number, .dscp) { return name }
            return "0x" + Symbols.hex(number, 2)
        case .etherType:
            if !numeric, let name = Symbols.name(number, .etherType) { return name }
            return "0x" + Symbols.hex(number, 4)
        case .tcpFlag, .ctState, .ctStatus, .ctEvent, .bitmask:
            if numeric { return "0x" + String(number, radix: 16) }
            return flags(number, value.type, separator: value.type.basic == .ctEvent ? "," : " | ")
        case .fibAddressType, .interfaceType, .packetType, .ctDirection, .nfProto, .boolean, .icmpType, .icmpv6Type, .igmpType, .arpOperation, .dccpPacketType, .mhType, .ecn, .mptcpSubtype:
            if let name = Symbols.name(number, value.type.basic) { return name }
            return value.type.basic == .ecn ? "0x" + Symbols.hex(number, 2) : String(number)
        default: return String(number)
        }
    }

    /// The bits of a mask by name; what has no name as a number.
    private func flags(_ number: UInt128, _ type: Datatype, separator: String) -> String {
        var rest = number
        var names: [String] = []
        for (name, bit) in Symbols.table(type.basic) where rest & bit == bit && bit != 0 {
            names.append(name)
            rest &= ~bit
        }
        if rest != 0 || names.isEmpty { names.append("0x" + String(rest, radix: 16)) }
        return names.joined(separator: separator)
    }

    private func escaped(_ value: Value) -> String {
        let text = value.text
        return text.hasSuffix("*") && (value.type.basic == .interfaceName) ? String(text.dropLast()) + "\\*" : text
    }

    // MARK: Expressions

    func expression(_ expression: Expression) -> String {
        switch expression {
        case .constant(let value): return self.value(value)
        case .prefix(let value, let length):
            if Datatypes.isString(value.type) { return "\"\(value.text)*\"" }
            return "\(self.value(value))/\(length)"
        case .range(let low, let high):
            if low.type.basic == .hour || low.type.basic == .date { return "\(value(low))-\(value(high))" }
            return "\(value(low, numeric: true))-\(value(high, numeric: true))"
        case .flags(let values): return values.map { value($0) }.joined(separator: ",")
        case .concatenation(let parts): return parts.map(self.expression).joined(separator: " . ")
        case .verdict(let verdict): return self.verdict(verdict)
        case .set(let source): return self.source(source)
        case .map(let key, let source, _): return "\(self.expression(key)) map \(self.source(source))"
        case .payload(let field): return payload(field)
        case .meta(let key, _): return Self.unqualified.contains(key) ? key.rawValue : "meta \(key.rawValue)"
        case .ct(let field): return ct(field)
        case .option(let field): return option(field)
        case .fib(let flags, let result, _):
            var names: [String] = []
            if flags.contains(.saddr) { names.append("saddr") }
            if flags.contains(.daddr) { names.append("daddr") }
            if flags.contains(.mark) { names.append("mark") }
            if flags.contains(.iif) { names.append("iif") }
            if flags.contains(.oif) { names.append("oif") }
            return "fib \(names.joined(separator: " . ")) \(result.rawValue)"
        case .route(let key, let family, _): return key == .nexthop ? "rt \(family?.rawValue ?? "ip") nexthop" : "rt \(key.rawValue)"
        case .socket(let key, _):
            switch key {
            case .transparent: return "socket transparent"
            case .mark: return "socket mark"
            case .wildcard: return "socket wildcard"
            case .cgroupV2(let level): return "socket cgroupv2 level \(level)"
            }
        case .osf(let ttl, let version, _): return "osf " + (ttl.map { "ttl \($0) " } ?? "") + (version ? "version" : "name")
        case .ipsec(let field): return "ipsec \(field.isInbound ? "in" : "out") " + (field.number > 0 ? "spnum \(field.number) " : "") + field.key
        case .tunnel(let key, _): return "tunnel \(key)"
        case .numgen(let mode, let modulus, let offset, _): return "numgen \(mode.rawValue) mod \(modulus)" + (offset > 0 ? " offset \(offset)" : "")
        case .jhash(let key, let modulus, let seed, let offset, _):
            return "jhash \(self.expression(key)) mod \(modulus)" + (seed.map { " seed 0x\(String($0, radix: 16))" } ?? "") + (offset > 0 ? " offset \(offset)" : "")
        case .symhash(let modulus, let offset, _): return "symhash mod \(modulus)" + (offset > 0 ? " offset \(offset)" : "")
        case .binary(let operation, let left, let right, _):
            var text = operand(left, operation)
            text += " \(operation.rawValue) "
            if (operation == .shiftLeft || operation == .shiftRight), case .constant(let count) = right { return text + String(count.number) }
            return text + operand(right, operation, isRight: true)
        case .objectName(let name): return "\"\(name)\""
        case .catchAll: return "*"
        }
    }

    private static let precedence: [BinaryOperator: Int] = [.or: 0, .xor: 1, .and: 2, .shiftLeft: 3, .shiftRight: 3]
    private func operand(_ expression: Expression, _ operation: BinaryOperator, isRight: Bool = false) -> String {
        if case .binary(let inner, _, _, _) = expression {
            let own = Self.precedence[operation] ?? 0, below = Self.precedence[inner] ?? 0
            if below < own { return "(\(self.expression(expression)))" }
            return self.expression(expression)
        }
        if case .constant(let value) = expression, Datatypes.isBitmask(value.type), value.type.basic != .ctLabel, operation == .and || operation == .xor, value.number & (value.number &- 1) != 0 { return "(\(self.value(value)))" }
        return self.expression(expression)
    }

    static let unqualified: Set<MetaKey> = [.iif, .oif, .iifname, .oifname, .iifgroup, .oifgroup]

    func payload(_ field: PayloadField) -> String {
        if field.proto.isEmpty { return "@\(field.base.rawValue),\(field.offset),\(field.length)" }
        let own = "\(field.proto) \(field.field)"
        guard let tunnel = field.tunnel, !field.isTunnelHeader else { return own }
        return "\(tunnel) \(own)"
    }

    func ct(_ field: ConntrackField) -> String {
        var text = "ct "
        if let direction = field.direction { text += direction.rawValue + " " }
        if field.key == .saddr || field.key == .daddr, let family = field.family { text += family.rawValue + " " }
        return text + field.key.rawValue
    }

    func option(_ field: OptionField) -> String {
        switch field.family {
        case .extensionHeader: return field.testsPresence ? "exthdr \(field.name)" : "\(field.name) \(field.field)"
        case .tcpOption:
            if field.testsPresence { return "tcp option \(field.name)" }
            if field.field.isEmpty { return "tcp option @\(field.number),\(field.offset),\(field.length)" }
            return "tcp option \(field.name) \(field.field)"
        case .ipOption: return "ip option \(field.name)" + (field.testsPresence ? "" : " \(field.field)")
        case .sctpChunk: return "sctp chunk \(field.name)" + (field.testsPresence ? "" : " \(field.field)")
        case .dccpOption: return "dccp option \(field.name)"
        }
    }

    func source(_ source: SetSource) -> String {
        switch source {
        case .named(let name): "@\(name)"
        case .anonymous(let set): "{ " + set.elements.map(element).joined(separator: ", ") + " }"
        }
    }

    func element(_ element: SetElement) -> String {
        var text = expression(element.key)
        for statement in element.statements { text += " " + self.text(statement, inSet: true) }
        if let timeout = element.timeout { text += timeout == 0 ? " timeout never" : " timeout \(TimeText.text(timeout))" }
        if !options.stateless, let expires = element.expires, expires > 0 { text += " expires \(TimeText.text(expires))" }
        if let comment = element.comment { text += " comment \"\(comment)\"" }
        if let data = element.data { text += " : " + expression(data) }
        return text
    }

    func verdict(_ verdict: Verdict) -> String {
        switch verdict {
        case .accept: "accept"
        case .drop: "drop"
        case .continue: "continue"
        case .return: "return"
        case .jump(let name): "jump " + target(name)
        case .goto(let name): "goto " + target(name)
        }
    }

    /// A chain's name, or its rules where it has none of its own.
    private func target(_ name: String) -> String {
        guard let table, name.hasPrefix("__chain"), depth < 32, let chain = table.chain(name), chain.isAnonymous else { return name }
        let printer = Printer(options: options)
        let indentation = String(repeating: "\t", count: depth)
        let rules = chain.rules.map { "\(indentation)\t\(printer.rule($0, in: table, depth: depth + 1))\n" }.joined()
        return "{\n\(rules)\(indentation)}"
    }

    // MARK: Statements

    func text(_ statement: Statement, inSet: Bool = false) -> String {
        switch statement {
        case .match(let match): return self.match(match)
        case .verdict(let verdict): return self.verdict(verdict)
        case .verdictMap(let key, let source): return "\(expression(key)) vmap \(self.source(source))"
        case .counter(let packets, let bytes): return options.stateless ? "counter" : "counter packets \(packets) bytes \(bytes)"
        case .limit(let limit): return "limit " + Self.limit(limit, isObject: false)
        case .quota(let quota): return "quota " + Self.quota(quota, stateless: options.stateless)
        case .last(let used):
            if options.stateless { return "last" }
            return used.map { "last used \(TimeText.text($0))" } ?? "last used never"
        case .connectionLimit(let count, let over): return "ct count " + (over ? "over " : "") + "\(count)"
        case .log(let log): return self.log(log)
        case .reject(let kind): return reject(kind)
        case .nat(let nat): return self.nat(nat)
        case .notrack: return "notrack"
        case .setMeta(let key, let value):
            let name = Self.unqualified.contains(key) ? key.rawValue : "meta \(key.rawValue)"
            return "\(name) set \(expression(value))"
        case .setConntrack(let field, let value): return "\(ct(field)) set \(expression(value))"
        case .setPayload(let field, let value): return "\(payload(field)) set \(expression(value))"
        case .setOption(let field, let value): return "\(option(field)) set \(expression(value))"
        case .resetOption(let field): return "reset tcp option \(field.name)"
        case .setUpdate(let update):
            var text = "\(update.operation.rawValue) @\(update.set) { \(expression(update.key))"
            if let timeout = update.timeout { text += timeout == 0 ? " timeout never" : " timeout \(TimeText.text(timeout))" }
            for inner in update.statements { text += " " + (isPlainCounter(inner) ? "counter" : self.text(inner, inSet: true)) }
            if let data = update.data { text += " : \(expression(data))" }
            return text + " }"
        case .object(let kind, let name): return object(kind, name)
        case .flowAdd(let name): return "flow add @\(name)"
        case .queue(let queue):
            let flags = [queue.bypass ? "bypass" : nil, queue.fanout ? "fanout" : nil].compactMap { $0 }
            return "queue" + (flags.isEmpty ? "" : " flags \(flags.joined(separator: ","))") + " to \(expression(queue.target))"
        case .duplicate(let address, let device):
            if let address { return "dup to \(expression(address))" + (device.map { " device \(expression($0))" } ?? "") }
            return "dup to \(device.map(expression) ?? "")"
        case .forward(let device, let address, let family):
            if let address { return "fwd \(family?.rawValue ?? "ip") to \(expression(address)) device \(expression(device))" }
            return "fwd to \(expression(device))"
        case .tproxy(let family, let showsFamily, let address, let port):
            var text = "tproxy " + (showsFamily ? "\(family?.rawValue ?? "ip") " : "") + "to "
            if let address { text += family == .ip6 && isPlain(address) ? "[\(expression(address))]" : expression(address) }
            if let port { text += ":" + expression(port) }
            return text
        case .synproxy(let synproxy):
            var text = "synproxy"
            if let mss = synproxy.mss { text += " mss \(mss)" }
            if let scale = synproxy.windowScale { text += " wscale \(scale)" }
            if synproxy.timestamp { text += " timestamp" }
            if synproxy.sackPermitted { text += " sack-perm" }
            return text
        case .xtables(let kind, let name): return "xt \(kind) \"\(name)\""
        }
    }

    private func isPlainCounter(_ statement: Statement) -> Bool { if case .counter(0, 0) = statement { true } else { false } }

    private func isPlain(_ expression: Expression) -> Bool {
        switch expression {
        case .constant, .range, .prefix: true
        default: false
        }
    }

    func match(_ match: Match) -> String {
        let left = expression(match.left)
        switch match.operation {
        case .equal:
            // Where an implicit comparison would test bits, equality must be written.
            if case .constant(let value) = match.right, Datatypes.isBitmask(value.type) {
                if case .binary(_, _, .constant, _) = match.left { return "\(left) == \(right(match.right))" }
                return "\(left) == \(right(match.right))"
            }
            if case .binary = match.left { return "\(left) == \(right(match.right))" }
            return "\(left) \(right(match.right))"
        case .anyBit: return "\(left) \(anyBits(match.right))"
        case .noBit: return "\(left) ! \(anyBits(match.right))"
        default: return "\(left) \(match.operation.rawValue) \(right(match.right))"
        }
    }

    private func anyBits(_ expression: Expression) -> String {
        if case .constant(let value) = expression, value.type.basic == .tcpFlag { return flags(value.number, value.type, separator: ",") }
        return self.expression(expression)
    }

    private func right(_ expression: Expression) -> String { self.expression(expression) }

    static let units: [UInt64: String] = [1: "second", 60: "minute", 3600: "hour", 86400: "day", 604_800: "week"]

    static func bytes(_ value: UInt64) -> String {
        if value > 0, value % (1024 * 1024) == 0 { return "\(value / (1024 * 1024)) mbytes" }
        if value > 0, value % 1024 == 0 { return "\(value / 1024) kbytes" }
        return "\(value) bytes"
    }

    static func limit(_ limit: Limit, isObject: Bool) -> String {
        let over = limit.isOver ? "over " : ""
        let unit = units[limit.unit] ?? "second"
        if limit.isBytes { return "rate \(over)\(bytes(limit.rate))/\(unit)" + (limit.burst > 0 ? " burst \(bytes(limit.burst))" : "") }
        if isObject, limit.burst == 5 { return "rate \(over)\(limit.rate)/\(unit)" }
        return "rate \(over)\(limit.rate)/\(unit)" + (limit.burst > 0 ? " burst \(limit.burst) packets" : "")
    }

    static func quota(_ quota: Quota, stateless: Bool) -> String {
        (quota.isOver ? "over " : "") + bytes(quota.limit) + (quota.used > 0 && !stateless ? " used \(bytes(quota.used))" : "")
    }

    static let logFlags: [(UInt8, String)] = [(3, "tcp sequence,options"), (1, "tcp sequence"), (2, "tcp options"), (4, "ip options"), (8, "skuid"), (32, "ether")]

    private func log(_ log: Log) -> String {
        var text = "log"
        if let prefix = log.prefix { text += " prefix \"\(prefix)\"" }
        if let group = log.group { text += " group \(group)" }
        if let length = log.snapLength { text += " snaplen \(length)" }
        if let threshold = log.queueThreshold { text += " queue-threshold \(threshold)" }
        if let level = log.level, Int(level) < Symbols.logLevels.count { text += " level \(Symbols.logLevels[Int(level)])" }
        if log.flags == 47 { return text + " flags all" }
        var rest = log.flags
        for (bit, name) in Self.logFlags where rest & bit == bit {
            text += " flags \(name)"
            rest &= ~bit
        }
        return text
    }

    private func reject(_ kind: RejectKind) -> String {
        let family = table?.family
        func code(_ number: UInt8, _ basic: BasicType) -> String { Symbols.name(UInt128(number), basic) ?? String(number) }
        switch kind {
        case .tcpReset: return "reject with tcp reset"
        case .icmp(3) where family == .ip, .icmpv6(4) where family == .ip6: return "reject"
        case .icmpx(1): return "reject"
        case .icmp(let number): return "reject with icmp \(code(number, .icmpCode))"
        case .icmpv6(let number): return "reject with icmpv6 \(code(number, .icmpv6Code))"
        case .icmpx(let number): return "reject with icmpx \(code(number, .icmpxCode))"
        }
    }

    private func nat(_ nat: NAT) -> String {
        var text = nat.kind.rawValue
        if nat.showsFamily, let family = nat.family { text += " \(family.rawValue)" }
        if nat.flags.contains(.prefix) { text += " prefix" }
        if let address = nat.address {
            text += " to "
            if nat.family == .ip6, nat.port != nil, isPlain(address) {
                if case .range(let low, let high) = address { text += "[\(value(low))]-[\(value(high))]" } else { text += "[\(expression(address))]" }
            } else {
                text += expression(address)
            }
            if let port = nat.port { text += ":" + expression(port) }
        } else if let port = nat.port {
            text += " to :" + expression(port)
        }
        var flags: [String] = []
        if nat.flags.contains(.random) { flags.append("random") }
        if nat.flags.contains(.fullyRandom) { flags.append("fully-random") }
        if nat.flags.contains(.persistent) { flags.append("persistent") }
        return flags.isEmpty ? text : text + " " + flags.joined(separator: ",")
    }

    private func object(_ kind: ObjectKind, _ name: Expression) -> String {
        let named = expression(name)
        switch kind {
        case .counter, .quota, .limit, .synproxy, .tunnel: return "\(kind.rawValue) name \(named)"
        case .secmark: return "meta secmark set \(named)"
        default: return "\(kind.rawValue) set \(named)"
        }
    }
}
