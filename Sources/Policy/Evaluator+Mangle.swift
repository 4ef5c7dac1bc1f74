// Statements that change the packet in place: header fields, the MSS clamp, removal of a TCP option.
//
// Invariant: only bytes inside the packet change, checksums are adjusted by the difference alone (a wrong one stays
// wrong), and `parsed` describes the packet again afterwards. A UDP checksum of 0 survives changes of addresses only:
// Linux 6.18 adjusts it when a rule sets a UDP field itself (measured).
// Sources: nft_payload.c (nft_payload_set_eval), nft_exthdr.c.
import Wire

enum OptionRemoval {
    case done, missingHeader, malformed
}

extension Program {
    /// a = source register, b = base, x = offset; value = place of the header's own checksum from the base + 1 (0: none),
    /// bit 16: the field is part of the transport checksum's pseudo header, bit 17: SCTP's CRC is made anew; second = constant effect on the traffic
    /// class: version << 16 | mask << 8 | value, or 0.
    func setPayload(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        if let walk = context.walk {
            if pc.pointee.second == 0 { walk.pointee.refuse(.mangle, rule: pc.pointee.rule) } else {
                let mask = UInt8(truncatingIfNeeded: pc.pointee.second >> 8), value = UInt8(truncatingIfNeeded: pc.pointee.second)
                walk.pointee.setTrafficClassMask |= mask
                walk.pointee.setTrafficClassValue = walk.pointee.setTrafficClassValue & ~mask | value
                walk.pointee.writesChecksumLast = true
            }
        }
        let position = Int(pc.pointee.x), length = Int(pc.pointee.length)
        let base = start(PayloadBase(rawValue: pc.pointee.b).unsafelyUnwrapped, position, length, &context)
        if pc.pointee.b == PayloadBase.transport.rawValue, context.layer.fragmentOffset != 0 { return false }
        let offset = base &+ position
        guard base >= 0, offset &+ length <= context.layer.end else { return false }
        let packet = context.packet
        let source = UnsafeRawPointer(scratch + Int(pc.pointee.a))
        let removed = Checksum.partial(packet.start + offset, length), added = Checksum.partial(source, length)
        let own = Int(pc.pointee.value & 0xffff)
        if own > 0 {
            let place = base &+ own &- 1
            guard place &+ 2 <= context.layer.end else { return false }
            adjust(packet, place, removed, added, keepsZero: false)
        }
        if pc.pointee.value & 0x1_0000 != 0, context.layer.isValid, context.layer.fragmentOffset == 0,
           let field = Program.transportChecksum(context.layer.transportProtocol) {
            let isUDP = context.layer.transportProtocol == IPProtocol.udp
            if context.layer.offset &+ field &+ 2 <= context.layer.end {
                adjust(packet, context.layer.offset &+ field, removed, added, keepsZero: isUDP)
            } else if !isUDP {
                // A checksum that the packet ends before breaks the rule, the header's own is changed already (nft_payload_l4csum_update).
                context.mangled = true
                return false
            }
        }
        if context.hasPartialChecksum, own == 0, pc.pointee.value & 0x1_0000 == 0, pc.pointee.b == PayloadBase.transport.rawValue {
            writePartial(packet, at: offset, source, length, context)
        } else {
            (packet.start + offset).copyMemory(from: source, byteCount: length)
        }
        if pc.pointee.value & 0x2_0000 != 0, context.layer.transportProtocol == IPProtocol.sctp, context.layer.fragmentOffset == 0, context.layer.offset &+ 12 <= context.layer.end {
            Checksum.fillSCTP(packet.start + context.layer.offset, length: context.layer.end &- context.layer.offset)
            // Nobody asks again (CHECKSUM_UNNECESSARY), though on a device link padding was summed up, too.
            context.parsed.flags.formUnion([.hasVerifiedChecksum, .needsNoChecksum])
        }
        refresh(&context)
        if pc.pointee.b == PayloadBase.network.rawValue, context.parsed.family == .ipv6, context.parsed.flags.intersection([.hasVerifiedChecksum, .needsNoChecksum]) == .hasVerifiedChecksum,
           Checksum.fold(removed) != Checksum.fold(added) {
            // The sum over the whole packet that connection tracking left (CHECKSUM_COMPLETE) is no longer its sum: IPv4's own checksum makes good
            // for what changes in the header, IPv6 has none. The next one who asks sums up anew.
            context.parsed.flags.remove(.hasVerifiedChecksum)
            context.parsed.flags.insert(.hadVerifiedChecksum)
        }
        return true
    }

    /// A raw write into a header whose checksum is still to be summed up.
    private func writePartial(_ packet: PacketBuffer, at offset: Int, _ source: UnsafeRawPointer, _ length: Int, _ context: borrowing PacketContext) {
        let header = context.layer.offset, count = context.layer.end &- header
        let removed = Checksum.partial(packet.start + header, count)
        (packet.start + offset).copyMemory(from: source, byteCount: length)
        guard let field = Program.transportChecksum(context.layer.transportProtocol), header &+ field &+ 2 <= context.layer.end,
              offset >= header &+ field &+ 2 || offset &+ length <= header &+ field else { return }
        adjust(packet, header &+ field, removed, Checksum.partial(packet.start + header, count), keepsZero: false)
    }

    /// Where the checksum with a pseudo header stands in a transport header.
    private static func transportChecksum(_ transportProtocol: UInt8) -> Int? {
        switch transportProtocol {
        case IPProtocol.tcp: 16
        case IPProtocol.udp, IPProtocol.udplite: 6
        case IPProtocol.icmpv6: 2
        default: nil
        }
    }

    private func adjust(_ packet: PacketBuffer, _ place: Int, _ removed: UInt64, _ added: UInt64, keepsZero: Bool) {
        let old = packet.load16(place)
        if keepsZero, old == 0 { return }
        let sum = Checksum.add(Checksum.add(UInt64(~old), UInt64(~Checksum.fold(removed))), UInt64(Checksum.fold(added)))
        let new = ~Checksum.fold(sum)
        packet.store16(new == 0 ? 0xffff : new, at: place)
    }

    private func refresh(_ context: inout PacketContext) {
        context.mangled = true
        var parsed = context.parsed
        // `layer` stays as it is: Linux looks at the headers once for each chain.
        let verified = context.parsed.flags.intersection([.hasVerifiedChecksum, .hadVerifiedChecksum, .needsNoChecksum])
        switch PacketParser.parse(context.packet, into: &parsed, ipv4ChecksumIsGood: true) {
        case .none: context.parsed = parsed
        case .martianSource, .martianDestination:
            // Nobody asks again whether such an address may come from a wire; routing and forwarding will have to deal with it.
            let network = Int(parsed.networkOffset)
            context.parsed.sourceAddress = context.packet.loadAddress(.ipv6, network + 8)
            context.parsed.destinationAddress = context.packet.loadAddress(.ipv6, network + 24)
        default: break
        }
        context.parsed.flags.formUnion(verified)
    }

    /// a = source register, value = option kind, x = offset in the option, length = 2 or 4. Never adds an option, never
    /// raises the maximum segment size.
    func setTCPOption(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        refuseForOptions(pc, &context)
        guard let header = tcpHeader(context) else { return false }
        let packet = context.packet
        let length = Int(pc.pointee.length)
        var index = 20
        while index < header.length &- 1 {
            let option = header.start &+ index
            let size = optionLength(packet, option)
            defer { index &+= size }
            guard UInt64(packet.load8(option)) == pc.pointee.value else { continue }
            guard index &+ size <= header.length, Int(pc.pointee.x) &+ length <= size else { return false }
            let place = option &+ Int(pc.pointee.x)
            let value = scratch.number(Int(pc.pointee.a), length), old = packet.start.number(place, length)
            if pc.pointee.value == 2, length == 2, old <= value { return true }
            guard old != value else { return true }
            let checksum = header.start &+ 16
            for byte in 0 ..< length {
                let before = packet.load8(place &+ byte), after = UInt8(truncatingIfNeeded: value >> UInt64((length &- 1 &- byte) &* 8))
                replace(packet, checksum, before, after, isHigh: (place &+ byte &- header.start) & 1 == 0)
                packet.store8(after, at: place &+ byte)
            }
            refresh(&context)
            return true
        }
        return true
    }

    private func replace(_ packet: PacketBuffer, _ checksum: Int, _ before: UInt8, _ after: UInt8, isHigh: Bool) {
        let shift: UInt16 = isHigh ? 8 : 0
        packet.store16(Checksum.update(packet.load16(checksum), old: UInt16(before) << shift, new: UInt16(after) << shift), at: checksum)
    }

    /// value = option kind: overwritten with no-operations.
    func resetTCPOption(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> OptionRemoval {
        refuseForOptions(pc, &context)
        guard let header = tcpHeader(context) else { return .missingHeader }
        let packet = context.packet
        var index = 20
        while index < header.length &- 1 {
            let option = header.start &+ index
            let size = optionLength(packet, option)
            if UInt64(packet.load8(option)) == pc.pointee.value {
                guard index &+ size <= header.length else { return .malformed }
                for byte in 0 ..< size {
                    replace(packet, header.start &+ 16, packet.load8(option &+ byte), 1, isHigh: (index &+ byte) & 1 == 0)
                    packet.store8(1, at: option &+ byte)
                }
                refresh(&context)
                return .done
            }
            index &+= size
        }
        return .done
    }
}
