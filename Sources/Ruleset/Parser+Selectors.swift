// Selectors: what a left-hand side may name of a packet, its connection or its route.

extension Parser {
    /// As nft names them to somebody who asks for another.
    static let knownMetaKeys = "length, protocol, priority, mark, iif, oif, iifname, oifname, iiftype, oiftype, skuid, skgid, nftrace, rtclassid, secmark, nfproto, l4proto, "
        + "ibrname, obrname, pkttype, cpu, iifgroup, oifgroup, cgroup, random, ipsec, iifkind, oifkind, ibrpvid, ibrvproto, time, day, hour, sdif, sdifname, broute, ibrhwaddr"

    // MARK: Selectors

    /// A selector, if one stands here; consumes nothing otherwise.
    func selector() throws -> Node? {
        let token = peek()
        let name = text(token), second = word(1)
        let start = token.start
        switch name {
        case "meta":
            guard let key = Self.metaKeys[second] else {
                advance()
                guard peek().kind == .word else { throw unexpected() }
                advance()
                throw SyntaxError(message: "syntax error, unexpected \(second), known keys are \(Self.knownMetaKeys)", location: range(from: start))
            }
            advance()
            advance()
            return Node(.meta(key), range(from: start))
        case "mark", "iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "skuid", "skgid", "nftrace", "rtclassid", "ibriport", "obriport", "ibridgename",
             "obridgename", "ibrname", "obrname", "pkttype", "cpu", "iifgroup", "oifgroup", "cgroup", "time", "day", "hour":
            advance()
            return Self.metaKeys[name].map { Node(.meta($0), range(from: start)) }
        case "ct": return try conntrackSelector()
        case "fib":
            advance()
            var flags: [String] = []
            let place = peek().start
            repeat { flags.append(try anyWord()) } while accept(.dot)
            let named = Set(flags)
            func refuse(_ message: String) -> SyntaxError { SyntaxError(message: "fib: " + message, location: range(from: place)) }
            if named.isDisjoint(with: ["saddr", "daddr"]) { throw refuse("need either saddr or daddr") }
            if named.isSuperset(of: ["saddr", "daddr"]) { throw refuse("saddr and daddr are mutually exclusive") }
            if named.isSuperset(of: ["iif", "oif"]) { throw refuse("iif and oif are mutually exclusive") }
            let result = try anyWord()
            return Node(.fib(flags: flags, result: result), range(from: start))
        case "socket":
            advance()
            let key = try anyWord()
            var level: UInt64 = 0
            if key == "cgroupv2" {
                try expect(word: "level")
                level = try number()
            }
            return Node(.socket(key: key, level: level), range(from: start))
        case "osf":
            advance()
            var ttl: String?
            if accept(word: "ttl") {
                guard word() == "loose" || word() == "skip" else { throw SyntaxError(message: "syntax error, unexpected \(word().isEmpty ? "newline" : "string"), expecting loose or skip", location: range(peek())) }
                ttl = try anyWord()
            }
            let version = isWord("version")
            if !version { if !isWord("name") { throw unexpected() } }
            advance()
            return Node(.osf(ttl: ttl, version: version), range(from: start))
        case "ipsec":
            guard second == "in" || second == "out" else {
                advance()
                return Node(.meta(.ipsec), range(from: start))
            }
            advance()
            let inbound = text(advance()) == "in"
            var index: UInt64 = 0
            if accept(word: "spnum") { index = try number() }
            if index > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            var key = try anyWord()
            if key == "ip" || key == "ip6" { key += " " + (try anyWord()) }
            return Node(.ipsec(inbound: inbound, number: index, key: key), range(from: start))
        case "tunnel":
            advance()
            return Node(.tunnel(try anyWord()), range(from: start))
        case "numgen":
            advance()
            let mode: NumberGeneratorMode = accept(word: "inc") ? .incremental : .random
            if mode == .random { try expect(word: "random") }
            try expect(word: "mod")
            let modulus = try number()
            return Node(.numgen(mode, modulus: modulus, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "jhash":
            advance()
            let outer = isArgument
            isArgument = false
            defer { isArgument = outer }
            let key = try nested { try concatenation(.left) }
            try expect(word: "mod")
            let modulus = try number()
            let seed = accept(word: "seed") ? try number() : nil
            return Node(.jhash(key, modulus: modulus, seed: seed, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "symhash":
            advance()
            try expect(word: "mod")
            let modulus = try number()
            return Node(.symhash(modulus: modulus, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "exthdr":
            advance()
            guard Protocols.extensionHeader(second) != nil else { throw unexpected() }
            advance()
            return Node(.option(.extensionHeader, name: second, field: nil, raw: nil), range(from: start))
        case "rt":
            if second == "ip" || second == "ip6" {
                advance()
                let family = AddressFamily(rawValue: text(advance()))
                return Node(.route(key: try anyWord(), family: family), range(from: start))
            }
            if ["classid", "nexthop", "mtu", "ipsec"].contains(second) {
                advance()
                advance()
                return Node(.route(key: second, family: nil), range(from: start))
            }
            return try extensionHeaderSelector()
        case "hbh", "rt0", "rt2", "srh", "frag", "dst", "mh": return try extensionHeaderSelector()
        case "tcp" where second == "option": return try tcpOptionSelector()
        case "ip" where second == "option":
            advance()
            advance()
            guard Protocols.ipOptions.contains(where: { $0.name == word() }) else { throw unexpected(expecting: "lsrr or rr or ssrr or ra") }
            let option = try anyWord()
            let field = isField(of: Protocols.ipOptions.first { $0.name == option }?.fields)
            return Node(.option(.ipOption, name: option, field: field, raw: nil), range(from: start))
        case "sctp" where second == "chunk":
            advance()
            advance()
            guard let found = Protocols.sctpChunks.first(where: { $0.name == word() }) else { throw unexpected() }
            let chunk = try anyWord()
            return Node(.option(.sctpChunk, name: chunk, field: isField(of: found.fields), raw: nil), range(from: start))
        case "dccp" where second == "option":
            advance()
            advance()
            let kind = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            return Node(.option(.dccpOption, name: String(kind), field: nil, raw: nil), range(from: start))
        case "vxlan", "geneve", "gre", "gretap":
            if let header = Protocols.named(name), header.field(second) != nil {
                advance()
                advance()
                return Node(.payload(proto: name, field: second, tunnel: nil), range(from: start))
            }
            if Protocols.named(second) != nil, let inner = try payloadSelector(at: 1) {
                return Node(.payload(proto: inner.proto, field: inner.field, tunnel: name), range(from: start))
            }
            return nil
        default:
            if let found = try payloadSelector(at: 0) { return Node(.payload(proto: found.proto, field: found.field, tunnel: nil), range(from: start)) }
            return nil
        }
    }

    func anyWord() throws -> String {
        guard peek().kind == .word else { throw unexpected(expecting: "string") }
        return text(advance())
    }

    func isField(of fields: [ProtocolField]?) -> String? {
        let name = word()
        guard !name.isEmpty, fields?.contains(where: { $0.name == name }) == true else { return nil }
        advance()
        return name
    }

    /// `proto field` at a distance; consumes everything up to the field's end when it is one.
    func payloadSelector(at distance: Int) throws -> (proto: String, field: String)? {
        let name = word(distance)
        guard let header = Protocols.named(name == "auth" ? "ah" : name), !header.fields.isEmpty else { return nil }
        var field = word(distance + 1)
        if field.isEmpty { return nil }
        if field == "proto", name == "ip" { field = "protocol" }
        var consumed = distance + 2
        if name == "arp", field == "saddr" || field == "daddr" {
            field += " " + word(distance + 2)
            consumed += 1
        }
        if name == "icmpv6" || name == "icmp", field == "seq" { field = "sequence" }
        if name == "icmpv6", field == "param-problem" { field = "parameter-problem" }
        if header.field(field) == nil { return nil }
        for _ in 0..<consumed { advance() }
        return (header.name, field)
    }

    func extensionHeaderSelector() throws -> Node? {
        let start = peek().start
        let name = word(), field = word(1)
        guard let header = Protocols.extensionHeader(name) else { return nil }
        if peek(2).mark == .openBracket, field == "sid" || field == "addr" {
            advance()
            advance()
            advance()
            let index = try number()
            try expect(.closeBracket)
            return Node(.option(.extensionHeader, name: name, field: "\(field)[\(index)]", raw: nil), range(from: start))
        }
        guard header.fields.contains(where: { $0.name == field }) else { return nil }
        advance()
        advance()
        return Node(.option(.extensionHeader, name: name, field: field, raw: nil), range(from: start))
    }

    /// What nft's scanner takes for an option beside its name; `echo` has the number that is `timestamp` today.
    static let tcpOptionAliases = ["noop": "nop", "sack-permitted": "sack-perm", "sack_permitted": "sack-perm", "sackpermitted": "sack-perm", "mss": "maxseg", "echo": "timestamp"]

    func tcpOptionName() throws -> String {
        let token = peek()
        if token.kind == .number {
            let kind = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(token)) }
            return Protocols.tcpOptions.first { UInt64($0.number) == kind && $0.name != "sack0" }?.name ?? String(kind)
        }
        guard token.kind == .word else { throw unexpected() }
        let raw = text(token)
        let name = Self.tcpOptionAliases[raw] ?? raw
        guard let option = Protocols.tcpOptions.first(where: { $0.name == name }) else { throw unexpected() }
        advance()
        return option.name == "sack0" ? "sack" : option.name
    }

    func tcpOptionSelector() throws -> Node {
        let start = advance().start
        advance()
        if accept(.at) {
            let kind = try number()
            try expect(.comma)
            let offset = try number()
            try expect(.comma)
            let length = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            return Node(.option(.tcpOption, name: String(kind), field: nil, raw: (offset, length)), range(from: start))
        }
        let name = try tcpOptionName()
        let fields = Protocols.tcpOptions.first { $0.name == name }?.fields ?? [ProtocolField(name: "kind", offset: 0, length: 8, basic: .integer), ProtocolField(name: "length", offset: 8, length: 8, basic: .integer)]
        return Node(.option(.tcpOption, name: name, field: isField(of: fields), raw: nil), range(from: start))
    }

    func conntrackSelector() throws -> Node? {
        let start = advance().start
        var direction: ConntrackDirection?
        if let named = ConntrackDirection(rawValue: word()) {
            advance()
            direction = named
        }
        var family: AddressFamily?
        if direction != nil, let named = AddressFamily(rawValue: word()) {
            advance()
            family = named
        }
        let token = peek()
        let name = word()
        guard ConntrackKey(rawValue: name) != nil else { throw token.kind == .word ? SyntaxError(message: "syntax error, unexpected string", location: range(token)) : unexpected() }
        advance()
        return Node(.ct(name, direction: direction, family: family), range(from: start))
    }

    static let metaKeys: [String: MetaKey] = {
        var keys: [String: MetaKey] = [:]
        for key in MetaKey.allCases { keys[key.rawValue] = key }
        keys["ibriport"] = .ibrname
        keys["obriport"] = .obrname
        keys["ibridgename"] = .ibrname
        keys["obridgename"] = .obrname
        keys["secpath"] = .ipsec
        return keys
    }()
}
