// Lookups in sets and maps, and changes of dynamic sets by packets.
//
// Invariant: an element's own statements run when it is found; a full set breaks the rule and changes nothing.
// Sources: nft_lookup.c, nft_dynset.c, nft_objref.c.
import Wire

extension Program {
    /// Runs the statements of a found element; false if one of them breaks the rule.
    private func use(_ element: UInt32, _ set: UnsafePointer<SetHeader>, _ rule: UInt32, _ context: inout PacketContext) -> Bool {
        guard set.pointee.statementCount > 0 else { return true }
        let record = set.pointee.element(element), state = record.pointee.state
        for index in set.pointee.origins[Int(record.pointee.origin)].statements {
            let statement = set.pointee.statements[index]
            if statement.op == .counter {
                count(Int(statement.base &+ state), rule, &context)
            } else if !useObject(statement.op, statement.base &+ state, rule, &context) {
                return false
            }
        }
        return true
    }

    private func note(_ set: UnsafePointer<SetHeader>, _ rule: UInt32, _ context: inout PacketContext) {
        guard let walk = context.walk else { return }
        walk.pointee.reads.insert(.sets)
        if set.pointee.hasTimeout { walk.pointee.refuse(.timeoutSet, rule: rule) } else if set.pointee.isDynamic { walk.pointee.refuse(.dynamicSet, rule: rule) }
    }

    /// b = key register, x = set. The element found, `*` included; none if the rule has to break.
    @inline(__always) func lookUp(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> UInt32 {
        let set = UnsafePointer(sets + Int(pc.pointee.x))
        note(set, pc.pointee.rule, &context)
        var element = set.pointee.find(scratch + Int(pc.pointee.b), context.now)
        if element == ElementRecord.none {
            let catchAll = set.pointee.catchAll
            guard catchAll != ElementRecord.none, set.pointee.isAlive(catchAll, context.now) else { return ElementRecord.none }
            element = catchAll
        }
        return use(element, set, pc.pointee.rule, &context) ? element : ElementRecord.none
    }

    /// `!= @set`; a set with `*` lacks nothing and yet matches, in Linux as here.
    func lacks(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let set = UnsafePointer(sets + Int(pc.pointee.x))
        note(set, pc.pointee.rule, &context)
        return set.pointee.find(scratch + Int(pc.pointee.b), context.now) == ElementRecord.none || set.pointee.catchAll != ElementRecord.none
    }

    /// a = destination register.
    func mapLookUp(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let element = lookUp(pc, &context)
        guard element != ElementRecord.none else { return false }
        let set = sets + Int(pc.pointee.x)
        (scratch + Int(pc.pointee.a)).copyMemory(from: set.pointee.data(element), byteCount: set.pointee.dataLength)
        return true
    }

    /// `counter name KEY map @m`: data = opcode, number of the object.
    func useMappedObject(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let element = lookUp(pc, &context)
        guard element != ElementRecord.none else { return false }
        let data = (sets + Int(pc.pointee.x)).pointee.data(element)
        let number = data.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        guard let op = Opcode(rawValue: data.load(as: UInt8.self)) else { return false }
        switch op {
        case .counter: count(Int(number), pc.pointee.rule, &context)
        case .limit, .quota, .connectionLimit, .last: return useObject(op, number, pc.pointee.rule, &context)
        case .conntrackObject: return assign(ConntrackView.Changes(rawValue: data.load(fromByteOffset: 1, as: UInt8.self)), number, pc.pointee.rule, &context)
        default: return false
        }
        return true
    }

    /// b = key register, a = data register, x = set, length = 0 add, 1 update, 2 delete, value = timeout in ns,
    /// second = a new element's origin.
    func updateSet(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.refuse(.dynamicSet, rule: pc.pointee.rule)
        let set = sets + Int(pc.pointee.x)
        let key = scratch + Int(pc.pointee.b)
        guard set.pointee.kind == .hash else { return false }
        let found = set.pointee.findExact(key, set.pointee.hash(key), context.now)
        if pc.pointee.length == 2 {
            if found != ElementRecord.none { set.pointee.kill(found, context.now) }
            return true
        }
        if found != ElementRecord.none {
            // An element that was to stay for ever stays; where neither rule nor set names a timeout, any other ends here.
            if pc.pointee.length == 1, set.pointee.hasTimeout, set.pointee.element(found).pointee.expires != UInt64.max {
                set.pointee.element(found).pointee.expires = context.now &+ (pc.pointee.value != 0 ? pc.pointee.value : set.pointee.timeout)
            }
            return use(found, set, pc.pointee.rule, &context)
        }
        let element = set.pointee.take(context.now)
        guard element != ElementRecord.none else { return false }
        set.pointee.key(element).copyMemory(from: key, byteCount: set.pointee.keyLength)
        if set.pointee.dataLength > 0 { set.pointee.data(element).copyMemory(from: scratch + Int(pc.pointee.a), byteCount: set.pointee.dataLength) }
        let record = set.pointee.element(element)
        record.pointee.flags |= ElementRecord.Flag.dynamic
        if set.pointee.hasTimeout {
            let timeout = pc.pointee.value != 0 ? pc.pointee.value : set.pointee.timeout
            record.pointee.timeout = timeout
            record.pointee.expires = timeout == 0 ? UInt64.max : context.now &+ timeout
        }
        record.pointee.origin = UInt16(truncatingIfNeeded: pc.pointee.second)
        startStatements(element, set, context.now)
        set.pointee.link(element)
        return use(element, set, pc.pointee.rule, &context)
    }

    /// Gives an element's statements their initial state.
    func startStatements(_ element: UInt32, _ set: UnsafePointer<SetHeader>, _ now: Timestamp) {
        let record = set.pointee.element(element), origin = set.pointee.origins[Int(record.pointee.origin)]
        for index in 0 ..< Int(origin.count) {
            let statement = set.pointee.statements[Int(origin.first) &+ index]
            let place = Int(statement.base &+ record.pointee.state), template = Int(set.pointee.templates[Int(origin.template) &+ index])
            switch statement.op {
            case .counter: counters[place] = counters[template]
            case .limit:
                limits[place] = limits[template]
                limits[place].tokens = limits[place].maximum
                limits[place].last = now
            case .quota: quotas[place] = quotas[template]
            case .connectionLimit:
                connectionLimits[place].limit = connectionLimits[template].limit
                connectionLimits[place].inverted = connectionLimits[template].inverted
                connectionLimits[place].count = 0
            default: lasts[place] = LastState()
            }
        }
    }
}
