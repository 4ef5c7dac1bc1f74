// Statements that ask something of the pipeline: marks, log, reject, NAT, forwarding, tracking.
//
// Invariant: they only fill in the context; the slow path acts after the chain has ended. Sources: nft_meta.c (set),
// nft_ct.c (set), nft_reject_inet.c, nft_nat.c, nft_masq.c, nft_redir.c, nft_fwd_netdev.c, nft_flow_offload.c.
import Wire

/// How a statement that ends chains went.
enum Ending: Equatable {
    case verdict(Verdict)
    /// It could not act: the rule breaks.
    case breaksRule
    /// It does not concern this packet: the rule goes on.
    case continuesRule
}

extension Program {
    func log(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) {
        context.walk?.pointee.refuse(.log, rule: pc.pointee.rule)
        guard let ring = context.log else { return }
        var record = LogRecord()
        record.timestamp = context.now
        record.rule = pc.pointee.rule
        record.statement = pc.pointee.x
        record.mark = context.mark
        record.hook = context.hook
        record.family = context.family
        record.input = context.input
        record.output = context.output
        record.frameLength = UInt32(truncatingIfNeeded: context.packet.length)
        record.networkOffset = context.parsed.networkOffset
        let captured = min(LogRecord.captureCapacity, context.packet.length)
        record.captured = UInt16(truncatingIfNeeded: captured)
        withUnsafeMutableBytes(of: &record.capture) { $0.baseAddress.unsafelyUnwrapped.copyMemory(from: context.packet.start, byteCount: captured) }
        ring.pointee.append(record)
    }

    func notrack(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) {
        guard !context.conntrack.hasConnection, !context.conntrack.hasTemplate, context.conntrack.state != ConntrackState.untracked else { return }
        context.conntrack.changes.insert(.notrack)
        context.conntrack.state = ConntrackState.untracked
    }

    /// a = source register, b = key.
    func setMeta(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) {
        let value = scratch.number(Int(pc.pointee.a), Int(pc.pointee.length))
        switch MetaKey(rawValue: pc.pointee.b).unsafelyUnwrapped {
        case .mark:
            context.mark = UInt32(truncatingIfNeeded: value)
            context.walk?.pointee.setsMark = true
        case .priority: context.priority = UInt32(truncatingIfNeeded: value)
        case .trace:
            context.trace = value & 1 != 0
            context.walk?.pointee.refuse(.trace, rule: pc.pointee.rule)
        case .packetType:
            // Linux lets a rule move a packet between host, broadcast, multicast and other host only.
            if value <= 3, context.packetType <= 3 { context.packetType = UInt8(truncatingIfNeeded: value) }
        default: break
        }
    }

    /// a = source register, b = key, x = directions (of a zone: 1 original, 2 reply, 3 both), or an object's number in x with the kind of change in b.
    func setConntrack(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        if pc.pointee.op == .conntrackObject {
            return assign(ConntrackView.Changes(rawValue: pc.pointee.b), pc.pointee.x, pc.pointee.rule, &context)
        }
        let length = Int(pc.pointee.length), source = Int(pc.pointee.a)
        let key = ConntrackKey(rawValue: pc.pointee.b).unsafelyUnwrapped
        if key == .zone {
            // The first zone stays; a packet that `notrack` exempted is tracked after all.
            guard !context.conntrack.hasConnection, !context.conntrack.hasTemplate else { return true }
            context.conntrack.hasTemplate = true
            context.conntrack.state = ConntrackState.new
            context.conntrack.requestedZone = UInt16(truncatingIfNeeded: scratch.number(source, length))
            context.conntrack.requestedZoneDirections = UInt8(truncatingIfNeeded: pc.pointee.x)
            context.conntrack.changes.insert(.zone)
            return true
        }
        guard context.conntrack.hasConnection else { return true }
        switch key {
        case .mark:
            let mark = UInt32(truncatingIfNeeded: scratch.number(source, length))
            guard context.conntrack.mark != mark else { return true }
            context.conntrack.mark = mark
            context.conntrack.changes.insert(.mark)
            context.walk?.pointee.refuse(.connectionChange, rule: pc.pointee.rule)
        case .label:
            // A label is set beside the others, never cleared (nf_connlabels_replace with the value as its own mask).
            let high = scratch.number(source, 8), low = scratch.number(source + 8, 8)
            guard context.conntrack.labelHigh | high != context.conntrack.labelHigh || context.conntrack.labelLow | low != context.conntrack.labelLow else { return true }
            context.conntrack.labelHigh |= high
            context.conntrack.labelLow |= low
            context.conntrack.changes.insert(.label)
            context.walk?.pointee.refuse(.connectionChange, rule: pc.pointee.rule)
        case .eventMask:
            context.conntrack.eventMask = UInt32(truncatingIfNeeded: scratch.number(source, length))
            context.conntrack.changes.insert(.eventMask)
        default: break
        }
        return true
    }

    /// `ct helper set`, `ct timeout set`, `ct expectation set`.
    /// - Returns: true if the rule goes on; only the last ends it where the connection is not new (nft_ct_expect_obj_eval).
    func assign(_ change: ConntrackView.Changes, _ object: UInt32, _ rule: UInt32, _ context: inout PacketContext) -> Bool {
        guard context.conntrack.hasConnection else { return change != .expectation }
        let transport = UInt8(truncatingIfNeeded: object >> 16), family = UInt8(truncatingIfNeeded: object >> 24)
        switch change {
        case .helper:
            guard transport == context.conntrack.transportProtocol, family == 0 || family == context.conntrack.family.rawValue else { return true }
            // Only a connection that is not confirmed yet can be given one, and the first stays.
            guard context.conntrack.status & 8 == 0, !context.conntrack.changes.contains(.helper) else { return true }
            context.conntrack.requestedHelper = object
        case .timeout:
            // Of an IPv6 packet rules see the authentication header, not what is behind it (nft_ct_timeout_obj_eval).
            guard transport == (context.layer.isValid ? context.layer.transportProtocol : 0) else { return true }
            context.conntrack.requestedTimeout = object
        case .expectation:
            guard context.conntrack.status & 8 == 0 else { return false }
            context.conntrack.requestedExpectation = object
        default: return true
        }
        context.conntrack.changes.insert(change)
        context.walk?.pointee.refuse(.connectionChange, rule: rule)
        return true
    }

    /// a = device register, b = address register (255: none), length = 4 or 16 for the address, x = flowtable.
    func requestCopy(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        if pc.pointee.op == .flowAdd {
            let view = context.conntrack
            let isStream = view.transportProtocol == IPProtocol.tcp
            // Confirmed, established, no sequence adjustment, no helper, not dying, TCP neither opening nor closing.
            guard view.hasConnection, view.state == ConntrackState.established, view.status & 8 != 0, view.status & 0x2240 == 0,
                  isStream || view.transportProtocol == IPProtocol.udp, !context.parsed.flags.contains(.hasOptions),
                  !isStream || (view.status & 4 != 0 && context.parsed.tcpFlags & (TCPFlags.fin | TCPFlags.rst) == 0) else { return false }
            context.flowtable = pc.pointee.x
            context.walk?.pointee.flowtable = pc.pointee.x
            return true
        }
        context.walk?.pointee.refuse(.copy, rule: pc.pointee.rule)
        var request = destination(pc, &context)
        (request.mark, request.priority) = (context.mark, context.priority)
        context.copies?.pointee.put(context.packet, request)
        return true
    }

    private func destination(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> ForwardRequest {
        var request = ForwardRequest()
        if pc.pointee.a != NATTemplate.absent { request.device = place(ofIndex: UInt32(truncatingIfNeeded: scratch.number(Int(pc.pointee.a), 4))) }
        if pc.pointee.b != NATTemplate.absent {
            request.hasAddress = true
            request.address = scratch.address(Int(pc.pointee.b), pc.pointee.length == 4 ? .ipv4 : .ipv6)
        }
        return request
    }

    private func place(ofIndex index: UInt32) -> UInt16 {
        for place in 0 ..< interfaceCount where interfaces[place].index == index { return UInt16(truncatingIfNeeded: place) }
        return PacketContext.noInterface
    }

    /// The statements that end a chain.
    func finish(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Ending {
        switch pc.pointee.op {
        case .reject: return .verdict(reject(pc, &context))
        case .nat:
            context.nat = request(natTemplates + Int(pc.pointee.x))
            return .verdict(.nat)
        case .forward:
            let request = destination(pc, &context)
            guard request.device != PacketContext.noInterface else { return .breaksRule }
            // To a neighbour only of the packet's own family.
            guard !request.hasAddress || context.layer.etherType == (pc.pointee.length == 4 ? EtherType.ipv4 : EtherType.ipv6) else { return .breaksRule }
            context.walk?.pointee.refuse(.copy, rule: pc.pointee.rule)
            context.forward = request
            (context.forward.mark, context.forward.priority) = (context.mark, context.priority)
            return .verdict(.stolen)
        case .queue:
            context.walk?.pointee.refuse(.queue, rule: pc.pointee.rule)
            return .verdict(pc.pointee.b == 1 ? .accept : .queue)
        case .synproxy:
            context.walk?.pointee.refuse(.synproxy, rule: pc.pointee.rule)
            let layer = context.layer
            guard layer.isValid, layer.transportProtocol == IPProtocol.tcp, layer.fragmentOffset == 0 else { return .breaksRule }
            guard layer.offset &+ 20 <= layer.end else { return .verdict(.drop) }
            guard context.packet.load8(layer.offset &+ 13) & (TCPFlags.syn | TCPFlags.ack) != 0 else { return .continuesRule }
            context.synproxy = pc.pointee.x
            return .verdict(.stolen)
        default: return .breaksRule
        }
    }

    /// b = 0 tcp reset, 1 icmp, 2 icmpv6, 3 icmpx; x = code.
    private func reject(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Verdict {
        // A chain on a device sees packets whose IP header is not believed.
        let isIPv6 = context.parsed.family == .ipv6 || context.parsed.family == nil && context.parsed.etherType == EtherType.ipv6
        var request = RejectRequest()
        let code = UInt8(truncatingIfNeeded: pc.pointee.x)
        request.kind = isIPv6 ? .icmpv6 : .icmp
        request.type = isIPv6 ? 1 : 3
        switch pc.pointee.b {
        case 0: request.kind = .tcpReset
        case 3:
            switch (code, isIPv6) {
            case (0, _): request.code = 0
            case (1, false): request.code = 3
            case (1, true): request.code = 4
            case (2, false): request.code = 1
            case (2, true): request.code = 3
            case (_, false): request.code = 13
            case (_, true): request.code = 1
            }
        default:
            // The other family's code sends nothing; Linux drops the packet all the same.
            guard (pc.pointee.b == 2) == isIPv6 else { return .drop }
            request.code = code
        }
        context.reject = request
        return .reject
    }

    private func request(_ template: UnsafePointer<NATTemplate>) -> NATRequest {
        var request = NATRequest()
        request.kind = template.pointee.kind
        request.flags = template.pointee.flags
        let family: AddressFamily = template.pointee.family == 4 ? .ipv4 : .ipv6
        if template.pointee.firstAddress != NATTemplate.absent {
            request.hasAddress = true
            request.minimumAddress = scratch.address(Int(template.pointee.firstAddress), family)
            request.maximumAddress = template.pointee.lastAddress == NATTemplate.absent ? request.minimumAddress : scratch.address(Int(template.pointee.lastAddress), family)
        }
        if template.pointee.firstPort != NATTemplate.absent {
            request.hasPort = true
            request.minimumPort = UInt16(truncatingIfNeeded: scratch.number(Int(template.pointee.firstPort), 2))
            request.maximumPort = template.pointee.lastPort == NATTemplate.absent ? request.minimumPort : UInt16(truncatingIfNeeded: scratch.number(Int(template.pointee.lastPort), 2))
        }
        return request
    }
}
