// Loads of `meta`, `ct`, `rt` and `fib` expressions.
//
// Invariant: values go into registers in network byte order whatever their type; what Linux cannot answer (no route, no
// connection) breaks the rule. Sources: nft_meta.c, nft_ct.c, nft_rt.c, nft_fib.c.
import Wire

extension Program {
    @inline(__always) private func interface(_ place: UInt16) -> UnsafePointer<InterfaceRecord>? {
        Int(place) < interfaceCount ? interfaces + Int(place) : nil
    }

    /// b = key.
    func loadMeta(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let length = Int(pc.pointee.length)
        let target = Int(pc.pointee.a)
        @inline(__always) func number(_ value: UInt64) -> Bool {
            scratch.setNumber(value, target, length)
            return true
        }
        func name(_ high: UInt64, _ low: UInt64) -> Bool {
            scratch.setNumber(high, target, 8)
            scratch.setNumber(low, target + 8, 8)
            return true
        }
        // The compiler writes keys; their numbers are without gaps.
        let key = unsafeBitCast(pc.pointee.b, to: MetaKey.self)
        switch key {
        case .length:
            context.walk?.pointee.refuse(.length, rule: pc.pointee.rule)
            return number(UInt64(context.layer.trafficLength))
        case .networkProtocol:
            return number(UInt64(context.layer.etherType))
        case .family:
            return number(Program.familyNumber(context.family))
        case .transportProtocol:
            guard context.layer.isValid else { return false }
            return number(UInt64(context.layer.transportProtocol))
        case .mark: return number(UInt64(context.mark))
        case .priority: return number(UInt64(context.priority))
        case .trace: return number(context.trace ? 1 : 0)
        case .packetType: return number(UInt64(context.packetType))
        case .inputIndex: return number(interface(context.input).map { UInt64($0.pointee.index) } ?? 0)
        case .outputIndex: return number(interface(context.output).map { UInt64($0.pointee.index) } ?? 0)
        case .inputName, .outputName:
            guard let record = interface(key == .inputName ? context.input : context.output) else { return name(0, 0) }
            return name(record.pointee.nameHigh, record.pointee.nameLow)
        case .inputType, .outputType:
            // From postrouting on the packet is the outgoing interface's (skb->dev), whichever was asked for.
            let isArriving = key == .inputType && context.hook != .egress && context.hook != .postrouting
            guard let record = interface(isArriving ? context.input : context.output) else { return false }
            return number(UInt64(record.pointee.hardwareType))
        case .inputGroup, .outputGroup:
            guard let record = interface(key == .inputGroup ? context.input : context.output) else { return false }
            return number(UInt64(record.pointee.group))
        case .inputKind, .outputKind:
            guard let record = interface(key == .inputKind ? context.input : context.output), record.pointee.hasKind else { return false }
            return name(record.pointee.kindHigh, record.pointee.kindLow)
        case .inputSecondaryIndex: return number(interface(context.input).map { UInt64($0.pointee.index) } ?? 0)
        case .inputSecondaryName:
            guard let record = interface(context.input) else { return name(0, 0) }
            return name(record.pointee.nameHigh, record.pointee.nameLow)
        case .cpu:
            context.walk?.pointee.refuse(.cpu, rule: pc.pointee.rule)
            return number(UInt64(context.cpu))
        case .random:
            context.walk?.pointee.refuse(.random, rule: pc.pointee.rule)
            return number(nextRandom() >> 32)
        case .time:
            context.walk?.pointee.refuse(.time, rule: pc.pointee.rule)
            return number(context.wallClock)
        case .day:
            context.walk?.pointee.refuse(.time, rule: pc.pointee.rule)
            // 1 January 1970 was a Thursday; 0 is Sunday. Linux counts days of the local zone.
            return number(UInt64((localSeconds(context) / 86_400 + 4) % 7))
        case .hour:
            context.walk?.pointee.refuse(.time, rule: pc.pointee.rule)
            return number(UInt64(context.wallClock / 1_000_000_000 % 86_400))
        case .routeClass:
            guard hasRoute(context) else { return false }
            return number(UInt64(context.routeClass))
        case .secpath: return number(0)
        case .none: return false
        }
    }

    /// Linux's NFPROTO_*.
    @inline(__always) static func familyNumber(_ family: PacketFamily) -> UInt64 {
        switch family {
        case .ipv4: 2
        case .ipv6: 10
        case .arp: 3
        case .bridge: 7
        case .netdev: 5
        }
    }

    /// Whether Linux would have a route with the packet: behind the routing decision, to a local address as well.
    private func hasRoute(_ context: borrowing PacketContext) -> Bool {
        if context.hook == .input { return true }
        return context.routeMTU != 0
    }

    private func localSeconds(_ context: borrowing PacketContext) -> Int64 {
        max(0, Int64(clamping: context.wallClock / 1_000_000_000) &+ Int64(context.zoneOffset))
    }

    /// b = key, x = direction.
    func loadConntrack(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let length = Int(pc.pointee.length), target = Int(pc.pointee.a)
        let key = unsafeBitCast(pc.pointee.b, to: ConntrackKey.self)
        if key == .state {
            context.walk?.pointee.reads.insert(.connectionState)
            scratch.setNumber(UInt64(context.conntrack.state), target, length)
            return true
        }
        guard context.conntrack.hasConnection else {
            context.walk?.pointee.reads.insert(.connectionState)
            return false
        }
        @inline(__always) func number(_ value: UInt64) -> Bool {
            scratch.setNumber(value, target, length)
            return true
        }
        let direction = ConntrackDirection(rawValue: pc.pointee.x).unsafelyUnwrapped
        switch key {
        case .state, .direction:
            context.walk?.pointee.reads.insert(.connectionDirection)
            return number(UInt64(context.conntrack.direction))
        case .status:
            context.walk?.pointee.reads.insert(.connectionStatus)
            return number(UInt64(context.conntrack.status))
        case .mark:
            context.walk?.pointee.reads.insert(.connectionMark)
            return number(UInt64(context.conntrack.mark))
        case .expiration:
            context.walk?.pointee.refuse(.connectionAccounting, rule: pc.pointee.rule)
            return number(context.conntrack.expiration)
        case .helper:
            guard context.conntrack.helperHigh != 0 else { return false }
            scratch.setNumber(context.conntrack.helperHigh, target, 8)
            scratch.setNumber(context.conntrack.helperLow, target + 8, 8)
            return true
        case .label:
            context.walk?.pointee.reads.insert(.connectionMark)
            scratch.setNumber(context.conntrack.labelHigh, target, 8)
            scratch.setNumber(context.conntrack.labelLow, target + 8, 8)
            return true
        case .zone: return number(direction == .both || UInt32(context.conntrack.zoneDirections) >> direction.rawValue & 1 != 0 ? UInt64(context.conntrack.zone) : 0)
        case .identifier: return number(context.conntrack.identifier & 0xffff_ffff)
        case .eventMask: return number(UInt64(context.conntrack.eventMask))
        case .secmark: return number(0)
        case .bytes, .packets, .averagePacket:
            context.walk?.pointee.refuse(.connectionAccounting, rule: pc.pointee.rule)
            let view = context.conntrack
            let packets = (direction == .reply ? 0 : view.originalPackets) &+ (direction == .original ? 0 : view.replyPackets)
            let bytes = (direction == .reply ? 0 : view.originalBytes) &+ (direction == .original ? 0 : view.replyBytes)
            if key == .averagePacket { return number(packets == 0 ? 0 : bytes / packets) }
            return number(key == .bytes ? bytes : packets)
        case .networkProtocol: return number(context.conntrack.family == .ipv4 ? 2 : 10)
        case .transportProtocol: return number(UInt64(context.conntrack.transportProtocol))
        case .source, .sourceIPv4, .sourceIPv6, .destination, .destinationIPv4, .destinationIPv6:
            if key == .sourceIPv4 || key == .destinationIPv4, context.conntrack.family != .ipv4 { return false }
            if key == .sourceIPv6 || key == .destinationIPv6, context.conntrack.family != .ipv6 { return false }
            let tuple = direction == .reply ? context.conntrack.reply : context.conntrack.original
            let isSource = key == .source || key == .sourceIPv4 || key == .sourceIPv6
            scratch.setAddress(isSource ? tuple.source : tuple.destination, target, length)
            return true
        case .sourcePort: return number(UInt64((direction == .reply ? context.conntrack.reply : context.conntrack.original).sourcePort))
        case .destinationPort: return number(UInt64((direction == .reply ? context.conntrack.reply : context.conntrack.original).destinationPort))
        }
    }

    /// b = key.
    func loadRoute(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.reads.insert(.route)
        let target = Int(pc.pointee.a), length = Int(pc.pointee.length)
        switch RouteKey(rawValue: pc.pointee.b).unsafelyUnwrapped {
        case .ipsec:
            scratch.setNumber(0, target, length)
            return true
        case .classID:
            guard hasRoute(context) else { return false }
            scratch.setNumber(UInt64(context.routeClass), target, length)
        case .nextHop4, .nextHop6:
            let wanted: AddressFamily = pc.pointee.b == RouteKey.nextHop4.rawValue ? .ipv4 : .ipv6
            guard context.routeMTU != 0, context.nextHop.family == wanted, (context.family == .ipv4) == (wanted == .ipv4) else { return false }
            scratch.setAddress(context.isOnLink ? context.parsed.destinationAddress : context.nextHop, target, length)
        case .tcpMSS:
            guard context.routeMTU != 0 else { return false }
            var mtu = context.routeMTU
            // The smaller of the routes there and back.
            if let routeMTU = context.lookups.routeMTU {
                let back = withUnsafePointer(to: context.parsed.sourceAddress) { routeMTU(context.lookups.userData, UnsafeRawPointer($0)) }
                if back != 0 { mtu = min(mtu, back) }
            }
            let headers: UInt32 = context.family == .ipv6 ? 60 : 40
            scratch.setNumber(UInt64(mtu <= headers || mtu > 0xffff ? 536 : mtu &- headers), target, length)
        }
        return true
    }

    /// b = result (0 oif, 1 oifname, 2 type, 3 check), x = flags (saddr 1, daddr 2, mark 4, iif 8, oif 16).
    func loadFIB(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.reads.insert(.route)
        guard context.family == .ipv4 || context.family == .ipv6 || context.parsed.family != nil else { return false }
        let flags = pc.pointee.x
        var query = FIBQuery()
        query.isSource = flags & 1 != 0
        query.address = query.isSource ? context.parsed.sourceAddress : context.parsed.destinationAddress
        query.other = query.isSource ? context.parsed.destinationAddress : context.parsed.sourceAddress
        query.mark = flags & 4 != 0 ? context.mark : 0
        if flags & 8 != 0 { query.interface = context.input }
        if flags & 16 != 0 { query.interface = context.output }
        query.device = context.input != PacketContext.noInterface ? context.input : context.output
        query.transportProtocol = context.parsed.transportProtocol
        query.wantsType = pc.pointee.b == 2
        var answer = FIBAnswer()
        if !query.wantsType, context.input == loopback {
            // What comes back over lo is not looked up (nft_fib_can_skip).
            answer.found = true
            answer.interface = loopback
        } else if let fib = context.lookups.fib {
            withUnsafePointer(to: query) { question in
                withUnsafeMutablePointer(to: &answer) { fib(context.lookups.userData, UnsafeRawPointer(question), UnsafeMutableRawPointer($0)) }
            }
        }
        let target = Int(pc.pointee.a), length = Int(pc.pointee.length)
        switch pc.pointee.b {
        case 2: scratch.setNumber(UInt64(answer.addressType), target, length)
        case 3: scratch.setNumber(answer.found ? 1 : 0, target, length)
        case 1:
            let record = answer.found ? interface(answer.interface) : nil
            scratch.setNumber(record?.pointee.nameHigh ?? 0, target, 8)
            scratch.setNumber(record?.pointee.nameLow ?? 0, target + 8, 8)
        default: scratch.setNumber(answer.found ? interface(answer.interface).map { UInt64($0.pointee.index) } ?? 0 : 0, target, length)
        }
        return true
    }
}
