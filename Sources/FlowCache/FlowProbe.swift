// What a worker reads of a frame to find its flow: a few loads, no general parse.
//
// Invariant: a probe that was read (`read` returned true) belongs to a frame that Wire's parser accepts, without options,
// extension headers or fragments (without its PPPoE session header, if it has one), whose transport header is whole, and its key equals `FlowKey(parsed:ingress:)`. For every
// other frame `read` returns false and touches nothing, and Wire's parser says what it is. A property test holds both to it.
import Wire

/// 48 bytes; a worker keeps one per packet of a burst.
@frozen public struct FlowProbe {
    /// The frame's IP header.
    public var network: UnsafeMutableRawPointer
    public var hash: UInt64
    /// See `PackedFlowKey`.
    public var tuple: UInt64
    public var encapsulation: UInt32
    /// Length of the IP packet, without padding.
    public var totalLength: UInt16
    /// Bytes before the IP header.
    public var linkLength: UInt8
    public var isIPv6: Bool
    /// The primary bucket, set by the lookup's first stage.
    public var bucket: UInt32
    /// The candidate, set by the lookup's second stage: whoever sets it says beside it whether there is one.
    public var entry: UnsafeMutableRawPointer

    @inlinable @inline(__always) public var transportProtocol: UInt8 { UInt8(truncatingIfNeeded: tuple &>> 48) }
    @inlinable @inline(__always) public var frame: UnsafeMutableRawPointer { network - Int(linkLength) }
    /// The frame has a PPPoE session header.
    @inlinable @inline(__always) public var isInSession: Bool { tuple &>> 63 != 0 }
    /// Bytes of the frame up to the IP packet's end.
    @inlinable @inline(__always) public var frameLength: Int { Int(linkLength) &+ Int(totalLength) }

    // Raw (little-endian) spellings of network-order constants.
    @inlinable @inline(__always) static var etherIPv4: UInt16 { 0x0008 }
    @inlinable @inline(__always) static var etherIPv6: UInt16 { 0xdd86 }
    @inlinable @inline(__always) static var etherVLAN: UInt16 { 0x0081 }
    @inlinable @inline(__always) static var etherQinQ: UInt16 { 0xa888 }
    @inlinable @inline(__always) static var etherPPPoE: UInt16 { 0x6488 }
    @inlinable @inline(__always) static var pppIPv4: UInt16 { 0x2100 }
    @inlinable @inline(__always) static var pppIPv6: UInt16 { 0x5700 }

    @inlinable @inline(__always) static func load8(_ pointer: UnsafeMutableRawPointer, _ offset: Int) -> UInt8 {
        pointer.load(fromByteOffset: offset, as: UInt8.self)
    }
    @inlinable @inline(__always) static func raw16(_ pointer: UnsafeMutableRawPointer, _ offset: Int) -> UInt16 {
        pointer.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }
    @inlinable @inline(__always) static func big16(_ pointer: UnsafeMutableRawPointer, _ offset: Int) -> UInt16 { raw16(pointer, offset).byteSwapped }
    @inlinable @inline(__always) static func raw32(_ pointer: UnsafeMutableRawPointer, _ offset: Int) -> UInt32 {
        pointer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }
    @inlinable @inline(__always) static func raw64(_ pointer: UnsafeMutableRawPointer, _ offset: Int) -> UInt64 {
        pointer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    /// Reads the frame of `length` bytes at `frame` into `probe`; false if it takes the general parser.
    @inlinable @inline(__always)
    public static func read(
        _ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex, seeds: FlowHashSeeds, into probe: UnsafeMutablePointer<FlowProbe>
    ) -> Bool {
        guard length >= 42 else { return false }
        return readIPv4(frame, length: length, ingress: ingress, seeds: seeds, into: probe)
            || readIPv6(frame, length: length, ingress: ingress, seeds: seeds, into: probe)
            || readGeneral(frame, length: length, ingress: ingress, seeds: seeds, into: probe)
    }

    /// The most frequent frames of all: untagged, IPv4 without options, TCP or UDP. `length` is 42 at least. False says only
    /// that it is something else.
    @inlinable @inline(__always)
    public static func readIPv4(
        _ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex, seeds: FlowHashSeeds, into probe: UnsafeMutablePointer<FlowProbe>
    ) -> Bool {
        // EtherType, version and header length in one word.
        guard raw32(frame, 12) & 0xff_ffff == 0x45_0008 else { return false }
        let network = frame + 14
        // Bytes 2 to 9 of the header: total length, identification, fragment, TTL, protocol.
        let word = raw64(frame, 16)
        guard word & 0xff3f_0000_0000 == 0 else { return false }
        let totalLength = Int(UInt16(truncatingIfNeeded: word).byteSwapped)
        guard totalLength &+ 14 <= length else { return false }
        let transportProtocol = UInt8(truncatingIfNeeded: word &>> 56)
        let transport = frame + 34
        if transportProtocol == IPProtocol.udp {
            let datagram = Int(big16(transport, 4))
            guard datagram >= 8, datagram <= totalLength &- 20 else { return false }
        } else {
            guard transportProtocol == IPProtocol.tcp, totalLength >= 40 else { return false }
            let header = Int(load8(transport, 12) &>> 4) &* 4
            guard header >= 20, header <= totalLength &- 20 else { return false }
        }
        let tuple = UInt64(raw32(transport, 0)) | UInt64(ingress) &<< 32 | UInt64(transportProtocol) &<< 48
        let hash = seeds.hashIPv4(addresses: raw64(frame, 26), tuple: tuple, encapsulation: 0)
        probe.pointee.network = network
        probe.pointee.hash = hash
        probe.pointee.tuple = tuple
        probe.pointee.encapsulation = 0
        probe.pointee.totalLength = UInt16(truncatingIfNeeded: totalLength)
        probe.pointee.linkLength = 14
        probe.pointee.isIPv6 = false
        probe.pointee.entry = network
        return true
    }

    /// Untagged IPv6 without extension headers, TCP or UDP. `length` is 42 at least. False says only that it is something else.
    @inlinable @inline(__always)
    public static func readIPv6(
        _ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex, seeds: FlowHashSeeds, into probe: UnsafeMutablePointer<FlowProbe>
    ) -> Bool {
        guard raw32(frame, 12) & 0xf0_ffff == 0x60_dd86, length >= 62 else { return false }
        let network = frame + 14
        let payloadLength = Int(big16(network, 4))
        guard payloadLength <= length &- 54, payloadLength >= 8 else { return false }
        let transportProtocol = load8(network, 6)
        let transport = frame + 54
        if transportProtocol == IPProtocol.udp {
            let datagram = Int(big16(transport, 4))
            guard datagram >= 8, datagram <= payloadLength else { return false }
        } else {
            guard transportProtocol == IPProtocol.tcp, payloadLength >= 20 else { return false }
            let header = Int(load8(transport, 12) &>> 4) &* 4
            guard header >= 20, header <= payloadLength else { return false }
        }
        let a0 = raw64(network, 8), a2 = raw64(network, 24)
        // The multicast, loopback and unspecified cases are for the general parser. A frame's length fits its mbuf, so the sum below
        // fits 16 bits.
        guard a0 != 0, a2 != 0, a0 & 0xff != 0xff, a2 & 0xff != 0xff, payloadLength <= 0xffff &- 40 else { return false }
        let tuple = UInt64(raw32(transport, 0)) | UInt64(ingress) &<< 32 | UInt64(transportProtocol) &<< 48
        probe.pointee.network = network
        probe.pointee.hash = seeds.hashIPv6(a0, raw64(network, 16), a2, raw64(network, 32), tuple: tuple, encapsulation: 0)
        probe.pointee.tuple = tuple
        probe.pointee.encapsulation = 0
        probe.pointee.totalLength = UInt16(truncatingIfNeeded: payloadLength &+ 40)
        probe.pointee.linkLength = 14
        probe.pointee.isIPv6 = true
        probe.pointee.entry = network
        return true
    }

    /// Every frame that a probe can be read of without the general parser: with tags, with ICMP echo, with tunnels.
    @inlinable @inline(never)
    public static func readGeneral(
        _ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex, seeds: FlowHashSeeds, into probe: UnsafeMutablePointer<FlowProbe>
    ) -> Bool {
        // Ethernet, IPv4, and the first eight bytes of whatever it carries.
        guard length >= 42 else { return false }
        var etherType = raw16(frame, 12)
        var link = 14
        var vlanCount: UInt8 = 0
        var encapsulation: UInt32 = 0
        if etherType != etherIPv4 && etherType != etherIPv6 {
            while etherType == etherVLAN || etherType == etherQinQ {
                guard vlanCount < 2, length >= link &+ 32 else { return false }
                let tag = big16(frame, link) & 0xfff | (etherType == etherQinQ ? FlowKey.serviceTag : 0)
                encapsulation |= UInt32(tag) &<< (UInt32(vlanCount) &<< 4)
                vlanCount &+= 1
                etherType = raw16(frame, link &+ 2)
                link &+= 4
            }
        }
        var left = length &- link
        if etherType == etherPPPoE {
            // At least an IPv4 header and eight bytes behind it; what the header says is in the frame.
            guard vlanCount < 2, left >= PPPoE.headerLength &+ 28, raw16(frame, link) == 0x0011 else { return false }
            let inside = Int(big16(frame, link &+ 4))
            guard inside >= 30, inside &+ 6 <= left else { return false }
            let pppProtocol = raw16(frame, link &+ 6)
            guard pppProtocol == pppIPv4 || pppProtocol == pppIPv6 else { return false }
            encapsulation = encapsulation & 0xffff | UInt32(big16(frame, link &+ 2)) &<< 16
            guard encapsulation &>> 16 != 0 else { return false }
            etherType = pppProtocol == pppIPv4 ? etherIPv4 : etherIPv6
            vlanCount |= PackedFlowKey.pppoe
            link &+= PPPoE.headerLength
            left = inside &- 2
        }
        let network = frame + link
        if etherType == etherIPv4 {
            // Version 4, five words; neither offset nor more-fragments.
            guard load8(network, 0) == 0x45, raw16(network, 6) & 0xff3f == 0 else { return false }
            let totalLength = Int(big16(network, 2))
            guard totalLength <= left, totalLength >= 28 else { return false }
            let transportProtocol = load8(network, 9)
            guard let ports = ports(network + 20, available: totalLength &- 20, transportProtocol, isIPv6: false) else { return false }
            let tuple = PackedFlowKey.tuple(ports: ports, transportProtocol: transportProtocol, ingress: ingress, vlanCount: vlanCount)
            let hash = seeds.hashIPv4(addresses: raw64(network, 12), tuple: tuple, encapsulation: encapsulation)
            probe.initialize(to: FlowProbe(
                network: network, hash: hash, tuple: tuple, encapsulation: encapsulation, totalLength: UInt16(truncatingIfNeeded: totalLength),
                linkLength: UInt8(truncatingIfNeeded: link), isIPv6: false, entry: network))
            return true
        }
        if etherType == etherIPv6 {
            guard left >= 48, load8(network, 0) &>> 4 == 6 else { return false }
            let payloadLength = Int(big16(network, 4))
            guard payloadLength <= left &- 40, payloadLength >= 8, payloadLength <= 0xffff &- 40 else { return false }
            // The multicast, loopback and unspecified cases are for the general parser.
            guard raw64(network, 8) != 0, raw64(network, 24) != 0, load8(network, 8) != 0xff, load8(network, 24) != 0xff else { return false }
            let transportProtocol = load8(network, 6)
            guard let ports = ports(network + 40, available: payloadLength, transportProtocol, isIPv6: true) else { return false }
            let tuple = PackedFlowKey.tuple(ports: ports, transportProtocol: transportProtocol, ingress: ingress, vlanCount: vlanCount)
            let hash = seeds.hashIPv6(
                raw64(network, 8), raw64(network, 16), raw64(network, 24), raw64(network, 32), tuple: tuple, encapsulation: encapsulation)
            probe.initialize(to: FlowProbe(
                network: network, hash: hash, tuple: tuple, encapsulation: encapsulation,
                totalLength: UInt16(truncatingIfNeeded: payloadLength &+ 40), linkLength: UInt8(truncatingIfNeeded: link), isIPv6: true, entry: network))
            return true
        }
        return false
    }

    /// The port word of the key; nil if the general parser must look at this packet. At least eight bytes are `available`.
    @inlinable @inline(__always)
    static func ports(_ transport: UnsafeMutableRawPointer, available: Int, _ transportProtocol: UInt8, isIPv6: Bool) -> UInt32? {
        if transportProtocol == IPProtocol.tcp {
            guard available >= 20 else { return nil }
            let header = Int(load8(transport, 12) &>> 4) &* 4
            guard header >= 20, header <= available else { return nil }
            return raw32(transport, 0)
        }
        if transportProtocol == IPProtocol.udp {
            let datagram = Int(big16(transport, 4))
            guard datagram >= 8, datagram <= available else { return nil }
            return raw32(transport, 0)
        }
        if transportProtocol == (isIPv6 ? IPProtocol.icmpv6 : IPProtocol.icmp) {
            guard FlowKey.isEcho(transportProtocol: transportProtocol, type: load8(transport, 0)) else { return nil }
            return UInt32(raw16(transport, 4)) | UInt32(raw16(transport, 0)) &<< 16
        }
        // Tunnels are keyed by addresses alone; what else there is has ports or is an extension header.
        if transportProtocol == IPProtocol.gre { return isPPTP(transport) ? nil : 0 }
        return transportProtocol == IPProtocol.esp ? 0 : nil
    }

    /// GRE of version 1, whose call ID is no part of the key: connection tracking has to see each packet.
    @inlinable @inline(__always)
    static func isPPTP(_ transport: UnsafeMutableRawPointer) -> Bool { load8(transport, 1) & 7 == 1 }

    /// The probe of a frame that `read` left to the general parser and that can be cached all the same: UDP-Lite, SCTP, DCCP and
    /// protocols keyed by addresses alone.
    @inlinable
    public init?(parsed: ParsedPacket, frame: UnsafeMutableRawPointer, ingress: PortIndex, seeds: FlowHashSeeds) {
        guard !parsed.flags.contains(.hasOptions), parsed.networkLength <= 0xffff, let key = FlowKey(parsed: parsed, ingress: ingress) else { return nil }
        if parsed.transportProtocol == IPProtocol.gre, parsed.transportLength >= 2, FlowProbe.isPPTP(frame + Int(parsed.transportOffset)) { return nil }
        let packed = PackedFlowKey(key)
        network = frame + Int(parsed.networkOffset)
        hash = seeds.hash(packed)
        tuple = packed.tuple
        encapsulation = packed.encapsulation
        totalLength = UInt16(truncatingIfNeeded: parsed.networkLength)
        linkLength = UInt8(truncatingIfNeeded: parsed.networkOffset)
        isIPv6 = packed.isIPv6
        bucket = 0
        entry = network
    }

    @inlinable @inline(__always)
    init(
        network: UnsafeMutableRawPointer, hash: UInt64, tuple: UInt64, encapsulation: UInt32, totalLength: UInt16, linkLength: UInt8,
        isIPv6: Bool, entry: UnsafeMutableRawPointer
    ) {
        self.network = network
        self.hash = hash
        self.tuple = tuple
        self.encapsulation = encapsulation
        self.totalLength = totalLength
        self.linkLength = linkLength
        self.isIPv6 = isIPv6
        bucket = 0
        self.entry = entry
    }

    /// The whole key, for the search that is not staged.
    @inlinable public var key: PackedFlowKey {
        var key = PackedFlowKey()
        if isIPv6 {
            key.address0 = FlowProbe.raw64(network, 8)
            key.address1 = FlowProbe.raw64(network, 16)
            key.address2 = FlowProbe.raw64(network, 24)
            key.address3 = FlowProbe.raw64(network, 32)
        } else {
            key.address0 = FlowProbe.raw64(network, 12)
        }
        key.tuple = tuple
        key.encapsulation = encapsulation
        key.isIPv6 = isIPv6
        return key
    }

    /// Whether `entry` is this packet's flow. The caller has fenced since it saw the tag. `isIPv6` is the probe's own, spelled
    /// out so that a caller's loop is compiled for one family at a time.
    @inlinable @inline(__always) public static func isEntryMine(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool) -> Bool {
        let network = probe.pointee.network
        if isIPv6 {
            let entry = probe.pointee.entry.assumingMemoryBound(to: FlowEntry6.self)
            return entry.pointee.address0 == raw64(network, 8) && entry.pointee.address1 == raw64(network, 16)
                && entry.pointee.address2 == raw64(network, 24) && entry.pointee.address3 == raw64(network, 32)
                && entry.pointee.tuple & ~FlowOwner.mask == probe.pointee.tuple && entry.pointee.encapsulation == probe.pointee.encapsulation
        }
        let entry = probe.pointee.entry.assumingMemoryBound(to: FlowEntry4.self)
        return entry.pointee.addresses == raw64(network, 12) && entry.pointee.tuple & ~FlowOwner.mask == probe.pointee.tuple
            && entry.pointee.encapsulation == probe.pointee.encapsulation
    }

    /// The index of the entry's connection.
    @inlinable @inline(__always) public static func connection(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool) -> UInt32 {
        isIPv6
            ? probe.pointee.entry.assumingMemoryBound(to: FlowEntry6.self).pointee.connection
            : probe.pointee.entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
    }

    /// Whose the entry is.
    @inlinable @inline(__always) static func owner(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool) -> UInt64 {
        FlowOwner.mask & (isIPv6
            ? probe.pointee.entry.assumingMemoryBound(to: FlowEntry6.self).pointee.tuple
            : probe.pointee.entry.assumingMemoryBound(to: FlowEntry4.self).pointee.tuple)
    }

    /// The index of the entry's action.
    @inlinable @inline(__always) public static func action(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool) -> Int {
        Int(isIPv6
            ? probe.pointee.entry.assumingMemoryBound(to: FlowEntry6.self).pointee.action
            : probe.pointee.entry.assumingMemoryBound(to: FlowEntry4.self).pointee.action)
    }
}
