// The evaluator: runs one base chain's program over a packet.
//
// Invariant: a rule's instructions run in order; the first match that fails goes to the next rule, and what ran before it
// stays done. Chains nest 16 deep (NFT_JUMP_STACK_SIZE). No instruction allocates, throws or waits.
import Wire

extension Program {
    private static var maximumDepth: Int { 16 }

    /// Runs a base chain on a packet.
    public func evaluate(_ chain: BaseChain, _ context: inout PacketContext) -> Verdict {
        context.hook = chain.hook
        context.locate(chain.hook)
        let registers = scratch
        let stack = (scratch + Registers.size).assumingMemoryBound(to: UInt32.self)
        var depth = 0
        /// Counts what statements changed, by `ChangeClass`.
        var changes: UInt64 = 0
        var pc = instructions + Int(chain.programOffset)

        while true {
            let passes: Bool
            switch pc.pointee.op {
            case .fieldEqual: passes = field(pc, &context) == pc.pointee.second
            case .fieldNotEqual:
                let value = field(pc, &context)
                passes = value != pc.pointee.second && value != Program.unreadable
            case .payload: passes = loadPayload(pc, &context)
            case .meta: passes = loadMeta(pc, &context)
            case .conntrack: passes = loadConntrack(pc, &context)
            case .immediate:
                (registers + Int(pc.pointee.a)).copyMemory(from: constants + Int(pc.pointee.x), byteCount: Int(pc.pointee.length))
                passes = true
            case .copyRegister:
                (registers + Int(pc.pointee.a)).copyMemory(from: registers + Int(pc.pointee.b), byteCount: Int(pc.pointee.length))
                passes = true
            case .compareEqual: passes = order(pc) == 0
            case .compareNotEqual: passes = order(pc) != 0
            case .compareLess: passes = order(pc) < 0
            case .compareGreater: passes = order(pc) > 0
            case .compareLessEqual: passes = order(pc) <= 0
            case .compareGreaterEqual: passes = order(pc) >= 0
            case .range: passes = isInRange(pc)
            case .notRange: passes = !isInRange(pc)
            case .never: passes = false
            case .bitAnd, .bitOr, .bitXor, .registerAnd, .registerOr, .registerXor, .shiftLeft, .shiftRight, .swapBytes:
                transform(pc)
                passes = true
            case .setContains: passes = lookUp(pc, &context) != ElementRecord.none
            case .setLacks: passes = lacks(pc, &context)
            case .mapLookup: passes = mapLookUp(pc, &context)
            case .objectMap: passes = useMappedObject(pc, &context)
            case .dynamicSet: passes = updateSet(pc, &context)

            case .verdictMap, .accept, .drop, .jump, .goTo, .returnToCaller, .endOfChain, .resume:
                var verdict = pc.pointee.op
                var target = pc.pointee.x
                if verdict == .verdictMap {
                    let element = lookUp(pc, &context)
                    verdict = .never
                    if element != ElementRecord.none {
                        let data = sets[Int(pc.pointee.x)].data(element)
                        verdict = Opcode(rawValue: data.load(as: UInt8.self)) ?? .never
                        target = data.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
                    }
                }
                switch verdict {
                case .accept, .drop:
                    context.decidingRule = pc.pointee.rule
                    return verdict == .accept ? .accept : .drop
                case .jump:
                    guard depth < Program.maximumDepth else { return .error }
                    stack[depth] = pc.pointee.next
                    depth &+= 1
                    pc = instructions + Int(target)
                case .goTo: pc = instructions + Int(target)
                case .returnToCaller, .endOfChain:
                    if depth == 0 { return end(chain, &context) }
                    depth &-= 1
                    pc = instructions + Int(stack[depth])
                case .resume: pc += 1
                default: pc = instructions + Int(pc.pointee.next)
                }
                continue

            case .classify:
                pc = instructions + Int(classify(Int(pc.pointee.x), changes, &context))
                continue
            case .nextCandidate:
                pc = instructions + Int(nextCandidate(Int(pc.pointee.x), changes, &context))
                continue

            case .counter:
                count(Int(pc.pointee.x), pc.pointee.rule, &context)
                passes = true
            case .limit, .quota, .connectionLimit, .last: passes = useObject(pc.pointee.op, pc.pointee.x, pc.pointee.rule, &context)
            case .route: passes = loadRoute(pc, &context)
            case .fib: passes = loadFIB(pc, &context)
            case .extensionHeader: passes = loadExtensionHeader(pc, &context)
            case .tcpOption: passes = loadTCPOption(pc, &context)
            case .ipOption: passes = loadIPOption(pc, &context)
            case .sctpChunk: passes = loadSCTPChunk(pc, &context)
            case .dccpOption: passes = loadDCCPOption(pc, &context)
            case .tunnel: passes = loadTunnel(pc, &context)
            case .numgen: passes = loadNumber(pc, &context)
            case .jenkinsHash: passes = loadJenkinsHash(pc)
            case .symmetricHash: passes = loadSymmetricHash(pc, &context)

            case .log:
                log(pc, &context)
                passes = true
            case .notrack:
                notrack(pc, &context)
                changes &+= ChangeClass.conntrack
                passes = true
            case .setMeta:
                setMeta(pc, &context)
                changes &+= ChangeClass.meta
                passes = true
            case .setConntrack, .conntrackObject:
                passes = setConntrack(pc, &context)
                changes &+= ChangeClass.conntrack
            case .setPayload:
                passes = setPayload(pc, &context)
                changes &+= ChangeClass.payload
            case .setTCPOption:
                passes = setTCPOption(pc, &context)
                changes &+= ChangeClass.payload
            case .resetTCPOption:
                changes &+= ChangeClass.payload
                switch resetTCPOption(pc, &context) {
                case .missingHeader: passes = false
                case .malformed: return .drop
                case .done: passes = true
                }
            case .duplicate, .flowAdd:
                passes = requestCopy(pc, &context)
            case .reject, .nat, .forward, .queue, .tproxy, .synproxy:
                switch finish(pc, &context) {
                case .verdict(let verdict):
                    context.decidingRule = pc.pointee.rule
                    return verdict
                case .breaksRule: passes = false
                case .continuesRule: passes = true
                }
            }
            pc = passes ? pc + 1 : instructions + Int(pc.pointee.next)
        }
    }

    @inline(__always) private func end(_ chain: BaseChain, _ context: inout PacketContext) -> Verdict {
        context.decidingRule = UInt32.max
        return chain.dropsByPolicy ? .policyDrop : .accept
    }

    /// Value of a register against the instruction's constant, as memcmp.
    @inline(__always) private func order(_ pc: UnsafePointer<Instruction>) -> Int {
        let length = Int(pc.pointee.length)
        if length <= 8 {
            let value = scratch.number(Int(pc.pointee.b), length)
            return value == pc.pointee.value ? 0 : value < pc.pointee.value ? -1 : 1
        }
        return UnsafeRawPointer(scratch + Int(pc.pointee.b)).compare(constants + Int(pc.pointee.x), length)
    }

    @inline(__always) private func isInRange(_ pc: UnsafePointer<Instruction>) -> Bool {
        let length = Int(pc.pointee.length)
        if length <= 8 {
            let value = scratch.number(Int(pc.pointee.b), length)
            return value >= pc.pointee.value && value <= pc.pointee.second
        }
        let value = UnsafeRawPointer(scratch + Int(pc.pointee.b)), bounds = UnsafeRawPointer(constants + Int(pc.pointee.x))
        return value.compare(bounds, length) >= 0 && value.compare(bounds + length, length) <= 0
    }

    private func transform(_ pc: UnsafePointer<Instruction>) {
        let length = Int(pc.pointee.length)
        let target = scratch + Int(pc.pointee.a)
        switch pc.pointee.op {
        case .shiftLeft, .shiftRight: shift(target, length, Int(pc.pointee.x), left: pc.pointee.op == .shiftLeft)
        case .swapBytes:
            let unit = max(1, Int(pc.pointee.x))
            var start = 0
            while start &+ unit <= length {
                for index in 0 ..< unit / 2 {
                    let a = target.load(fromByteOffset: start &+ index, as: UInt8.self)
                    target.storeBytes(of: target.load(fromByteOffset: start &+ unit &- 1 &- index, as: UInt8.self), toByteOffset: start &+ index, as: UInt8.self)
                    target.storeBytes(of: a, toByteOffset: start &+ unit &- 1 &- index, as: UInt8.self)
                }
                start &+= unit
            }
        default:
            let fromRegister = pc.pointee.op == .registerAnd || pc.pointee.op == .registerOr || pc.pointee.op == .registerXor
            let other = fromRegister ? UnsafeRawPointer(scratch + Int(pc.pointee.b)) : UnsafeRawPointer(constants + Int(pc.pointee.x))
            if length == 4 {
                // An IPv4 address, a mark, a state.
                let a = target.loadUnaligned(as: UInt32.self), b = other.loadUnaligned(as: UInt32.self)
                switch pc.pointee.op {
                case .bitAnd, .registerAnd: target.storeBytes(of: a & b, as: UInt32.self)
                case .bitOr, .registerOr: target.storeBytes(of: a | b, as: UInt32.self)
                default: target.storeBytes(of: a ^ b, as: UInt32.self)
                }
                return
            }
            for index in 0 ..< length {
                let a = target.load(fromByteOffset: index, as: UInt8.self), b = other.load(fromByteOffset: index, as: UInt8.self)
                let result: UInt8
                switch pc.pointee.op {
                case .bitAnd, .registerAnd: result = a & b
                case .bitOr, .registerOr: result = a | b
                default: result = a ^ b
                }
                target.storeBytes(of: result, toByteOffset: index, as: UInt8.self)
            }
        }
    }

    /// Shifts a number of any length by any amount.
    private func shift(_ target: UnsafeMutableRawPointer, _ length: Int, _ amount: Int, left: Bool) {
        let bytes = amount / 8, bits = UInt16(amount % 8)
        for step in 0 ..< length {
            let index = left ? step : length &- 1 &- step
            let near = left ? index &+ bytes : index &- bytes
            let far = left ? near &+ 1 : near &- 1
            let a: UInt16 = near >= 0 && near < length ? UInt16(target.load(fromByteOffset: near, as: UInt8.self)) : 0
            let b: UInt16 = far >= 0 && far < length ? UInt16(target.load(fromByteOffset: far, as: UInt8.self)) : 0
            let value = left ? (a << bits) | (b >> (8 &- bits)) : (a >> bits) | (b << (8 &- bits))
            target.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: index, as: UInt8.self)
        }
    }
}
