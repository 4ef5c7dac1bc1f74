// Statements other than matches.
//
// Invariant: each emits instructions in the order in which Linux would act; what ends a chain is the statement's last
// instruction.
import Ruleset

extension Compiler {
    func compile(_ statement: Statement) {
        switch statement {
        case .match(let match): compile(match)
        case .verdict(let verdict): compile(verdict)
        case .verdictMap(let key, let source):
            let length = load(key, at: 0)
            var instruction = Instruction(.verdictMap)
            instruction.x = set(source, keyLength: length, dataType: Datatype(.verdict, bits: 64, byteOrder: .host))
            emit(instruction)
        case .counter, .limit, .quota, .last, .connectionLimit:
            guard let state = newState(statement) else { return }
            rules[Int(rule)].states.append(state)
            emitState(state)
        case .log(let log):
            var instruction = Instruction(.log)
            instruction.x = UInt32(logs.count)
            logs.append(log)
            emit(instruction)
        case .reject(let kind): compile(kind)
        case .nat(let nat): compile(nat)
        case .notrack: emit(Instruction(.notrack))
        case .setMeta(let key, let value): setMeta(key, value)
        case .setConntrack(let field, let value): setConntrack(field, value)
        case .setPayload(let field, let value): setPayload(field, value)
        case .setOption(let field, let value): setOption(field, value)
        case .resetOption(let field):
            var instruction = Instruction(.resetTCPOption)
            instruction.value = UInt64(field.number)
            emit(instruction)
        case .setUpdate(let update): compile(update)
        case .object(let kind, let name): useObject(kind, name)
        case .flowAdd(let name):
            require(.conntrack)
            var instruction = Instruction(.flowAdd)
            instruction.x = UInt32(flowtables.count)
            flowtables.append((table, name))
            emit(instruction)
        case .queue(let queue):
            var instruction = Instruction(.queue)
            instruction.b = queue.bypass ? 1 : 0
            emit(instruction)
            tell(.warning, queue.bypass ? "nobody listens on queues: packets pass (bypass)" : "nobody listens on queues: packets are dropped")
        case .duplicate(let address, let device): compileCopy(.duplicate, device, address)
        case .forward(let device, let address, _): compileCopy(.forward, device, address)
        case .tproxy: neverMatches("tproxy", .ofAHost)
        case .synproxy(let synproxy):
            require(.conntrack)
            var instruction = Instruction(.synproxy)
            instruction.x = Compiler.parameters(synproxy)
            emit(instruction)
        case .xtables(let kind, let name): neverMatches("xt \(kind) \(name)")
        }
    }

    func compile(_ verdict: Ruleset.Verdict) {
        switch verdict {
        case .accept: emit(Instruction(.accept))
        case .drop: emit(Instruction(.drop))
        case .continue: emit(Instruction(.resume))
        case .return: emit(Instruction(.returnToCaller))
        case .jump(let name), .goto(let name):
            var op = Opcode.goTo
            if case .jump = verdict { op = .jump }
            guard let chain = chainNumbers[table][name] else { return neverMatches("a jump to \(name), which does not exist,") }
            fixups.append((instructions.count, chain))
            emit(Instruction(op))
        }
    }

    /// A new record for a stateful statement.
    func newState(_ statement: Statement) -> (op: Opcode, number: UInt32)? {
        switch statement {
        case .counter(let packets, let bytes):
            counters.append(CounterState(packets: packets, bytes: bytes))
            return (.counter, UInt32(counters.count - 1))
        case .limit(let limit):
            limits.append(state(limit))
            return (.limit, UInt32(limits.count - 1))
        case .quota(let quota):
            quotas.append(QuotaState(limit: quota.limit, consumed: quota.used, inverted: quota.isOver))
            return (.quota, UInt32(quotas.count - 1))
        case .last(let used):
            var state = LastState()
            if let used {
                state.isSet = true
                state.time = now &- min(now, used &* 1_000_000)
            }
            lasts.append(state)
            return (.last, UInt32(lasts.count - 1))
        case .connectionLimit(let count, let isOver):
            require(.conntrack)
            connectionLimits.append(ConnectionLimitState(limit: count, inverted: isOver, room: UInt32(min(UInt64(count) + 64, UInt64(ConnectionLimitState.capacity)))))
            return (.connectionLimit, UInt32(connectionLimits.count - 1))
        default: return nil
        }
    }

    func state(_ limit: Limit) -> LimitState {
        limit.isBytes
            ? LimitState(bytes: limit.rate, unitSeconds: limit.unit, burst: limit.burst, inverted: limit.isOver, now: now)
            : LimitState(packets: limit.rate, unitSeconds: limit.unit, burst: limit.burst, inverted: limit.isOver, now: now)
    }

    func emitState(_ state: (op: Opcode, number: UInt32)) {
        var instruction = Instruction(state.op)
        instruction.x = state.number
        emit(instruction)
    }

    private func compile(_ kind: RejectKind) {
        var instruction = Instruction(.reject)
        switch kind {
        case .tcpReset: instruction.b = 0
        case .icmp(let code): (instruction.b, instruction.x) = (1, UInt32(code))
        case .icmpv6(let code): (instruction.b, instruction.x) = (2, UInt32(code))
        case .icmpx(let code): (instruction.b, instruction.x) = (3, UInt32(code))
        }
        emit(instruction)
    }

    private func setMeta(_ key: Ruleset.MetaKey, _ value: Ruleset.Expression) {
        let (mapped, length): (MetaKey, Int)
        switch key {
        case .mark: (mapped, length) = (.mark, 4)
        case .priority: (mapped, length) = (.priority, 4)
        case .nftrace: (mapped, length) = (.trace, 1)
        case .pkttype: (mapped, length) = (.packetType, 1)
        default: return
        }
        guard loadSized(value, length, at: 0) else { return }
        var instruction = Instruction(.setMeta)
        instruction.b = mapped.rawValue
        instruction.length = UInt8(length)
        emit(instruction)
    }

    private func setConntrack(_ field: ConntrackField, _ value: Ruleset.Expression) {
        require(.conntrack)
        let (mapped, length): (ConntrackKey, Int)
        switch field.key {
        case .mark: (mapped, length) = (.mark, 4)
        case .label: (mapped, length) = (.label, 16)
        case .zone: (mapped, length) = (.zone, 2)
        case .event: (mapped, length) = (.eventMask, 4)
        default: return
        }
        guard loadSized(value, length, at: 0) else { return }
        var instruction = Instruction(.setConntrack)
        instruction.b = mapped.rawValue
        instruction.length = UInt8(length)
        instruction.x = switch field.direction {
        case .original: 1
        case .reply: 2
        case nil: 3
        }
        emit(instruction)
    }

    /// Loads a value right-aligned into exactly `length` bytes.
    func loadSized(_ value: Ruleset.Expression, _ length: Int, at register: Int) -> Bool {
        let own = byteLength(value)
        if own == length { return load(value, at: register) == length }
        if own < length {
            immediate([UInt8](repeating: 0, count: length), at: register)
            return load(value, at: register + length - own) == own
        }
        guard load(value, at: register + length) == own else { return false }
        var copy = Instruction(.copyRegister)
        copy.a = UInt8(register)
        copy.b = UInt8(register + own)
        copy.length = UInt8(length)
        emit(copy)
        return true
    }

    private func compile(_ update: SetUpdate) {
        guard let number = setNumbers[table][update.set] else { return neverMatches("@\(update.set), which does not exist,") }
        let length = load(update.key, at: 0)
        guard length == sets[number].keyLength, sets[number].kind == .hash else { return neverMatches("an update of @\(update.set)") }
        var dataRegister = 0
        if let data = update.data {
            dataRegister = length
            guard load(data, at: length) == sets[number].dataLength else { return neverMatches("an update of @\(update.set)") }
        }
        for case .connectionLimit in update.statements { require(.conntrack) }
        if sets[number].capacity == 0 || (!sets[number].isDynamic && !sets[number].hasTimeout) {
            sets[number].isDynamic = true
            let declared = ruleset.tables[table].set(update.set)?.size
            sets[number].capacity = max(sets[number].capacity, min(declared ?? Compiler.defaultDynamicSize, Compiler.maximumSize))
        }
        if update.timeout != nil { sets[number].hasTimeout = true }
        var instruction = Instruction(.dynamicSet)
        instruction.x = UInt32(number)
        instruction.a = UInt8(dataRegister)
        instruction.length = switch update.operation {
        case .add: 0
        case .update: 1
        case .delete: 2
        }
        instruction.value = (update.timeout ?? 0) &* 1_000_000
        // A rule without statements adds elements without, unless the set was declared with some (nft_dynset_init).
        let declared = ruleset.tables[table].set(update.set)?.statements ?? []
        instruction.second = UInt64(origin(declared.isEmpty ? update.statements : declared, &sets[number]))
        emit(instruction)
    }

    private static func parameters(_ synproxy: Synproxy) -> UInt32 {
        var options: UInt8 = 0
        if synproxy.mss != nil { options |= 1 }
        if synproxy.windowScale != nil { options |= 2 }
        if synproxy.sackPermitted { options |= 4 }
        if synproxy.timestamp { options |= 8 }
        return SynproxyParameters(maximumSegmentSize: synproxy.mss ?? 0, windowScale: synproxy.windowScale ?? 0, options: options).rawValue
    }

    private func useObject(_ kind: ObjectKind, _ name: Ruleset.Expression) {
        if Compiler.change(kind) != nil || kind == .synproxy { require(.conntrack) }
        switch name {
        case .objectName(let text):
            guard let number = objectNumbers[table][kind]?[text], let op = Compiler.opcode(kind) else { return neverMatches("\(kind.rawValue) \(text)") }
            var instruction = Instruction(op)
            instruction.x = number
            instruction.b = Compiler.change(kind)?.rawValue ?? 0
            emit(instruction)
        case .map where kind == .synproxy: neverMatches("a map of synproxies")
        case .map(let key, let source, _):
            let length = load(key, at: 0)
            var instruction = Instruction(.objectMap)
            instruction.x = objectSet(source, kind, keyLength: length)
            emit(instruction)
        default: neverMatches("\(kind.rawValue)")
        }
    }

    private func compileCopy(_ op: Opcode, _ device: Ruleset.Expression?, _ address: Ruleset.Expression?) {
        var instruction = Instruction(op)
        instruction.a = NATTemplate.absent
        instruction.b = NATTemplate.absent
        if let device {
            guard loadSized(device, 4, at: 0) else { return }
            instruction.a = 0
        }
        if let address {
            let length = byteLength(address)
            guard length == 4 || length == 16 else { return neverMatches("a copy to this address") }
            load(address, at: 4)
            instruction.b = 4
            instruction.length = UInt8(length)
        }
        emit(instruction)
    }

    /// The objects of a table get their numbers before any rule is compiled.
    func compileObjects(_ table: Table) {
        for object in table.objects {
            let number: UInt32
            switch object.value {
            case .counter(let packets, let bytes):
                number = UInt32(counters.count)
                counters.append(CounterState(packets: packets, bytes: bytes))
            case .quota(let quota):
                number = UInt32(quotas.count)
                quotas.append(QuotaState(limit: quota.limit, consumed: quota.used, inverted: quota.isOver))
            case .limit(let limit):
                number = UInt32(limits.count)
                limits.append(state(limit))
            case .ctHelper, .ctTimeout, .ctExpectation:
                number = UInt32(conntrackObjects.count) | Compiler.scope(object.value)
                conntrackObjects.append((self.table, object.name, object.value.kind))
                // As in Linux, the object alone has the table's families tracked, whether or not a rule names it.
                require(.conntrack)
            case .synproxy(let synproxy):
                number = Compiler.parameters(synproxy)
            case .secmark, .tunnel: continue
            }
            objectNumbers[self.table][object.value.kind, default: [:]][object.name] = number
        }
    }

    /// The connections that a `ct helper` or `ct timeout` object suits, above the 16 bits of its number: the transport protocol, and above that the
    /// family's version, each 0 for any. A timeout counts whatever its `l3proto` says (nft_ct_timeout_obj_eval), an expectation whatever the connection's protocol.
    private static func scope(_ value: ObjectValue) -> UInt32 {
        switch value {
        case .ctHelper(_, let transport, let network):
            let family: UInt32 = network == .ip ? 4 : network == .ip6 ? 6 : 0
            return UInt32(transport) << 16 | family << 24
        case .ctTimeout(let transport, _, _): return UInt32(transport) << 16
        default: return 0
        }
    }
}
