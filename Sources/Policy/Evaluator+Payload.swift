// Loads from the packet's headers: payload fields, extension headers, options, chunks.
//
// Invariant: a byte is read only below `layer.end`; what is not there breaks the rule, as in Linux. Sources:
// nft_payload.c, nft_exthdr.c, ipv6_find_hdr(), ipv4_find_option().
import Wire

extension Program {
    /// What `field` returns if the field is not there; no masked field of a compiled comparison has this value, because
    /// the compiler uses wider instructions for 8-byte fields.
    @inline(__always) static var unreadable: UInt64 { UInt64.max }

    /// Frame offset of a header's start, or a negative number if the packet has none.
    /// The load is of `length` bytes at `position`.
    @inline(__always) func start(_ base: PayloadBase, _ position: Int, _ length: Int, _ context: inout PacketContext) -> Int {
        switch base {
        case .network: return context.layer.network
        case .transport: return context.layer.transportStart(position, length)
        case .link: return context.input == PacketContext.noInterface && context.hook != .egress && !context.keepsLinkHeader ? -1 : 0
        case .inner: return innerStart(context)
        }
    }

    private func innerStart(_ context: borrowing PacketContext) -> Int {
        let layer = context.layer
        guard layer.isValid, layer.fragmentOffset == 0 else { return -1 }
        switch layer.transportProtocol {
        case IPProtocol.tcp:
            guard layer.offset &+ 20 <= layer.end else { return -1 }
            return layer.offset &+ Int(context.packet.load8(layer.offset &+ 12) >> 4) &* 4
        case IPProtocol.udp: return layer.offset &+ 8
        case IPProtocol.gre:
            guard layer.offset &+ 4 <= layer.end else { return -1 }
            let flags = context.packet.load16(layer.offset)
            var length = 4
            if flags & 0x8000 != 0 { length &+= 4 }
            if flags & 0x2000 != 0 { length &+= 4 }
            if flags & 0x1000 != 0 { length &+= 4 }
            return flags & 0x4007 == 0 ? layer.offset &+ length : -1
        case 4: return layer.offset
        default: return -1
        }
    }

    @inline(__always) func note(_ readClass: UInt8, _ mask: UInt64, _ rule: UInt32, _ context: inout PacketContext) {
        guard readClass != ReadClass.constant, let walk = context.walk else { return }
        switch readClass {
        case ReadClass.tcpFlags:
            walk.pointee.reads.insert(.tcpFlags)
            walk.pointee.tcpFlagsMask |= UInt8(truncatingIfNeeded: mask)
        case ReadClass.trafficClass4:
            walk.pointee.reads.insert(.trafficClass)
            walk.pointee.trafficClassMask |= UInt8(truncatingIfNeeded: mask)
        case ReadClass.trafficClass6:
            walk.pointee.reads.insert(.trafficClass)
            walk.pointee.trafficClassMask |= UInt8(truncatingIfNeeded: mask >> 4)
        case ReadClass.ports:
            switch context.layer.transportProtocol {
            case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp, IPProtocol.dccp: break
            default: walk.pointee.refuse(.payload, rule: rule)
            }
        default: walk.pointee.refuse(WalkRecord.Reason(rawValue: readClass) ?? .payload, rule: rule)
        }
    }

    /// The masked field of a fused comparison: b = base, x = offset, a = read class, value = mask.
    @inline(__always) func field(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> UInt64 {
        let position = Int(pc.pointee.x), length = Int(pc.pointee.length)
        let base = start(PayloadBase(rawValue: pc.pointee.b).unsafelyUnwrapped, position, length, &context)
        let offset = base &+ position
        note(pc.pointee.a, pc.pointee.value, pc.pointee.rule, &context)
        guard base >= 0, offset &+ length <= context.layer.end else { return Program.unreadable }
        return context.packet.start.number(offset, length) & pc.pointee.value
    }

    /// b = base, x = offset, value = read class | mask << 8.
    @inline(__always) func loadPayload(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let position = Int(pc.pointee.x), length = Int(pc.pointee.length)
        let base = start(PayloadBase(rawValue: pc.pointee.b).unsafelyUnwrapped, position, length, &context)
        let offset = base &+ position
        note(UInt8(truncatingIfNeeded: pc.pointee.value), pc.pointee.value >> 8, pc.pointee.rule, &context)
        guard base >= 0, offset &+ length <= context.layer.end else { return false }
        (scratch + Int(pc.pointee.a)).copyMemory(from: context.packet.start + offset, byteCount: length)
        return true
    }

    /// Stores the answer to "exists?".
    @inline(__always) private func store(_ exists: Bool, _ pc: UnsafePointer<Instruction>) -> Bool {
        scratch.storeBytes(of: exists ? 1 : 0, toByteOffset: Int(pc.pointee.a), as: UInt8.self)
        return true
    }

    /// Copies a field of a header or option that lies at `start` and has `available` bytes.
    @inline(__always) private func copy(_ pc: UnsafePointer<Instruction>, from start: Int, available: Int, _ context: inout PacketContext) -> Bool {
        let offset = Int(pc.pointee.x), length = Int(pc.pointee.length)
        guard offset &+ length <= available, start &+ offset &+ length <= context.layer.end else { return false }
        (scratch + Int(pc.pointee.a)).copyMemory(from: context.packet.start + start + offset, byteCount: length)
        return true
    }

    /// IPv6 extension header: value = header number, second = 1 for "exists", x = offset. Nothing to guard: a packet with
    /// extension headers or IP options never meets the flow cache.
    func loadExtensionHeader(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let exists = pc.pointee.second != 0
        guard context.layer.etherType == EtherType.ipv6, context.layer.network &+ 40 <= context.layer.end else { return exists ? store(false, pc) : false }
        let found = IPv6Headers.find(context.packet, network: context.layer.network, end: context.layer.end, target: UInt8(truncatingIfNeeded: pc.pointee.value))
        if exists { return store(found.header >= 0, pc) }
        return found.header >= 0 && copy(pc, from: found.offset, available: Int.max / 2, &context)
    }

    /// Start and length of a TCP header whose options can be read, or nil.
    func tcpHeader(_ context: borrowing PacketContext) -> (start: Int, length: Int)? {
        let layer = context.layer
        guard layer.isValid, layer.transportProtocol == IPProtocol.tcp, layer.fragmentOffset == 0, layer.offset &+ 20 <= layer.end else { return nil }
        let length = Int(context.packet.load8(layer.offset &+ 12) >> 4) &* 4
        guard length >= 20, layer.offset &+ length <= layer.end else { return nil }
        return (layer.offset, length)
    }

    /// Length of the option at `offset`; never 0.
    @inline(__always) func optionLength(_ packet: PacketBuffer, _ offset: Int) -> Int {
        let length = Int(packet.load8(offset &+ 1))
        return packet.load8(offset) <= 1 || length == 0 ? 1 : length
    }

    /// Every packet of a TCP flow may carry other options; a flow of another protocol has none in any.
    @inline(__always) func refuseForOptions(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) {
        if context.layer.isValid, context.layer.transportProtocol != IPProtocol.tcp { return }
        context.walk?.pointee.refuse(.tcpOption, rule: pc.pointee.rule)
    }

    /// value = option kind, second = 1 for "exists", x = offset in the option.
    func loadTCPOption(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        refuseForOptions(pc, &context)
        let exists = pc.pointee.second != 0
        guard let header = tcpHeader(context) else { return exists ? store(false, pc) : false }
        var index = 20
        while index < header.length &- 1 {
            let length = optionLength(context.packet, header.start &+ index)
            if UInt64(context.packet.load8(header.start &+ index)) == pc.pointee.value {
                guard index &+ length <= header.length, Int(pc.pointee.x) &+ Int(pc.pointee.length) <= length || exists else { return exists ? store(false, pc) : false }
                return exists ? store(true, pc) : copy(pc, from: header.start &+ index, available: length, &context)
            }
            index &+= length
        }
        return exists ? store(false, pc) : false
    }

    /// IPv4 option: value = option number, second = 1 for "exists", x = offset in the option.
    func loadIPOption(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let exists = pc.pointee.second != 0
        let found = context.layer.etherType == EtherType.ipv4 ? findIPOption(UInt8(truncatingIfNeeded: pc.pointee.value), &context) : -1
        if exists { return store(found >= 0, pc) }
        return found >= 0 && copy(pc, from: found, available: Int.max / 2, &context)
    }

    /// ipv4_find_option() has all options checked before it answers: anything that ip_options_compile() would refuse of a packet
    /// to be sent means "not there".
    private func findIPOption(_ wanted: UInt8, _ context: inout PacketContext) -> Int {
        let network = context.layer.network
        guard network &+ 20 <= context.layer.end else { return -1 }
        let end = network &+ Int(context.packet.load8(network) & 15) &* 4
        guard end <= context.layer.end else { return -1 }
        var offset = network &+ 20
        var found = -1
        var hasRoute = false, hasRecord = false, hasTime = false
        while offset < end {
            let kind = context.packet.load8(offset)
            if kind == 0 { break }
            if kind == 1 {
                offset &+= 1
                continue
            }
            guard offset &+ 2 <= end else { return -1 }
            let length = Int(context.packet.load8(offset &+ 1))
            guard length >= 2, offset &+ length <= end else { return -1 }
            let pointer = length >= 3 ? Int(context.packet.load8(offset &+ 2)) : 0
            switch kind {
            case 131, 137:
                guard !hasRoute, pointer == 4, length >= 7, (length &- 3) & 3 == 0 else { return -1 }
                hasRoute = true
            case 7:
                guard !hasRecord, pointer >= 4, pointer > length || pointer &+ 3 <= length else { return -1 }
                hasRecord = true
            case 68:
                guard !hasTime, length >= 4, pointer >= 5, hasRoom(context.packet.load8(offset &+ 3), pointer, length) else { return -1 }
                hasTime = true
            case 134: return -1
            case 148 where length < 4: return -1
            default: break
            }
            if kind == wanted, kind != 148 || context.packet.load16(offset &+ 2) == 0 { found = offset }
            offset &+= length
        }
        return found
    }

    /// Whether a timestamp option has room for its next entry, or is full and counts those it missed.
    private func hasRoom(_ flags: UInt8, _ pointer: Int, _ length: Int) -> Bool {
        if pointer > length { return flags & 15 == 3 || flags >> 4 != 15 }
        return pointer &+ (flags & 15 == 1 || flags & 15 == 3 ? 7 : 3) <= length
    }

    /// value = chunk type, second = 1 for "exists", x = offset in the chunk.
    func loadSCTPChunk(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.refuse(.payload, rule: pc.pointee.rule)
        let exists = pc.pointee.second != 0
        let layer = context.layer
        guard layer.isValid, layer.transportProtocol == IPProtocol.sctp else { return exists ? store(false, pc) : false }
        var offset = layer.offset &+ 12
        while offset &+ 4 <= layer.end {
            let length = Int(context.packet.load16(offset &+ 2))
            if length == 0 { break }
            if UInt64(context.packet.load8(offset)) == pc.pointee.value {
                if exists { return store(true, pc) }
                guard offset &+ length <= layer.end else { return false }
                return copy(pc, from: offset, available: length, &context)
            }
            offset &+= (length &+ 3) & ~3
        }
        return exists ? store(false, pc) : false
    }

    /// value = option type; always "exists".
    func loadDCCPOption(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.refuse(.payload, rule: pc.pointee.rule)
        let layer = context.layer, packet = context.packet
        guard layer.isValid, layer.transportProtocol == IPProtocol.dccp, layer.fragmentOffset == 0, layer.offset &+ 12 <= layer.end else { return store(false, pc) }
        let type = packet.load8(layer.offset &+ 8) >> 1 & 15
        let isExtended = packet.load8(layer.offset &+ 8) & 1 != 0
        var header = isExtended ? 16 : 12
        switch type {
        case 0: header &+= 4
        case 1: header &+= 12
        case 3, 4, 5, 6, 8, 9: header &+= 8
        case 7: header &+= 12
        default: break
        }
        let end = min(layer.offset &+ Int(packet.load8(layer.offset &+ 4)) &* 4, layer.end)
        var offset = layer.offset &+ header
        while offset < end {
            let option = packet.load8(offset)
            if UInt64(option) == pc.pointee.value { return store(true, pc) }
            if option <= 31 {
                offset &+= 1
                continue
            }
            guard offset &+ 1 < end, packet.load8(offset &+ 1) >= 2 else { break }
            offset &+= Int(packet.load8(offset &+ 1))
        }
        return store(false, pc)
    }
}
