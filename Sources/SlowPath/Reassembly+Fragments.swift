// Taking fragments in: ip_frag_queue, nf_ct_frag6_queue and their reassembly halves.
//
// Invariant: header bytes and payload of a fragment are copied; nothing refers to the caller's packet afterwards.
import Wire

extension Reassembler {
    /// Takes a fragment.
    ///
    /// - Parameters:
    ///   - packet: a frame whose `parsed.flags` have `.isFragment`, or an IPv6 packet with a fragment header of its own
    ///     (RFC 6946), which comes back without it.
    ///   - user: packets of different users (conntrack zones) never make one datagram.
    public mutating func insert(_ packet: PacketBuffer, _ parsed: ParsedPacket, user: UInt32 = 0, ingress: PortIndex, now: Timestamp) -> ReassemblyResult {
        guard let family = parsed.family else { return .dropped(.fragmentBadLength) }
        let isIPv6 = family == .ipv6
        let payloadStart = isIPv6 ? Int(parsed.fragmentHeaderOffset) + 8 : Int(parsed.networkOffset) + Int(parsed.networkHeaderLength)
        let packetEnd = Int(parsed.networkOffset) + Int(parsed.networkLength)
        guard !isIPv6 || parsed.fragmentHeaderOffset != 0, payloadStart <= packetEnd else { return .dropped(.fragmentBadLength) }
        if isIPv6, Reassembler.firstFragmentLacksHeaders(packet, parsed) { return .untouched(.fragmentHeaderTruncated, problem: .parameterProblem(ipv6: 0, code: 3)) }

        var key = Key()
        key.source = parsed.sourceAddress
        key.destination = parsed.destinationAddress
        key.identification = parsed.fragmentIdentification
        key.user = user
        key.transportProtocol = isIPv6 ? 0 : parsed.transportProtocol
        let index = datagram(key, ingress: ingress, now: now)
        guard index != Reassembler.nothing else { return .dropped(.fragmentTableFull) }
        let reason = queue(packet, parsed, payloadStart: payloadStart, packetEnd: packetEnd, into: index)
        switch reason {
        case .kept:
            let datagram = datagrams + Int(index)
            guard datagram.pointee.hasFirst, datagram.pointee.hasLast, datagram.pointee.arrived == datagram.pointee.length else { return .queued }
            datagram.pointee.ingress = ingress
            return finish(index)
        case .duplicate: return .queued
        case .refused(let reason):
            if datagrams[Int(index)].fragmentCount == 0 { destroy(index) }
            return .dropped(reason)
        case .killed(let reason):
            destroy(index)
            return .dropped(reason)
        case .uneven:
            destroy(index)
            return .untouched(.fragmentBadLength, problem: .parameterProblem(ipv6: 4, code: 0))
        }
    }

    private enum Queued {
        case kept
        case duplicate
        /// The fragment goes, the datagram stays.
        case refused(DropReason)
        /// The datagram goes as well.
        case killed(DropReason)
        /// So it does for an IPv6 fragment, not the last, whose length is no multiple of 8.
        case uneven
    }

    private mutating func queue(_ packet: PacketBuffer, _ parsed: ParsedPacket, payloadStart: Int, packetEnd: Int, into index: UInt32) -> Queued {
        let datagram = datagrams + Int(index)
        let isIPv6 = parsed.family == .ipv6
        let offset = Int(parsed.fragmentOffset)
        var end = offset + packetEnd - payloadStart
        // What Linux finds out when the datagram is whole: it can never be sent.
        let headerBytes = isIPv6 ? Int(parsed.fragmentHeaderOffset) - Int(parsed.networkOffset) - 40 : Int(parsed.networkHeaderLength)
        if end + headerBytes > 65535 { return isIPv6 ? .refused(.fragmentTooLong) : .killed(.fragmentTooLong) }

        if parsed.flags.contains(.moreFragments) {
            if end & 7 != 0 {
                if isIPv6 { return .uneven }
                end &= ~7
            }
            if end > datagram.pointee.length, datagram.pointee.hasLast { return isIPv6 ? .refused(.fragmentBadLength) : .killed(.fragmentBadLength) }
        } else if end < datagram.pointee.length || (datagram.pointee.hasLast && end != datagram.pointee.length) {
            return isIPv6 ? .refused(.fragmentBadLength) : .killed(.fragmentBadLength)
        }
        guard end > offset else { return isIPv6 ? .refused(.fragmentBadLength) : .killed(.fragmentBadLength) }

        // Its place: behind `previous`. Fragments mostly come in order, so the search starts at the end.
        var previous = datagram.pointee.last
        while previous != Reassembler.nothing, fragments[Int(previous)].offset > offset { previous = fragments[Int(previous)].previous }
        let next = previous == Reassembler.nothing ? datagram.pointee.first : fragments[Int(previous)].next
        if previous != Reassembler.nothing, fragments[Int(previous)].offset + fragments[Int(previous)].length > offset {
            return isContained(from: previous, offset: offset, end: end) ? .duplicate : .killed(.fragmentOverlap)
        }
        if next != Reassembler.nothing, fragments[Int(next)].offset < end { return .killed(.fragmentOverlap) }
        guard datagram.pointee.fragmentCount < limits.fragmentsPerDatagram else { return .killed(.fragmentTooMany) }

        let record = allocateFragment(for: index)
        guard record != Reassembler.nothing else { return .refused(.fragmentTableFull) }
        let block = store(UnsafeRawPointer(packet.start + payloadStart), end - offset, for: index)
        guard block != Reassembler.nothing else {
            releaseFragment(record)
            return .refused(.fragmentTableFull)
        }
        if offset == 0 {
            guard storeHeader(packet, parsed, payloadStart: payloadStart, in: index) else {
                fragments[Int(record)].block = block
                link(record, behind: previous, before: next, in: index)
                return .killed(.fragmentTableFull)
            }
        }
        fragments[Int(record)].offset = offset
        fragments[Int(record)].length = end - offset
        fragments[Int(record)].block = block
        fragments[Int(record)].continuesRun = next == Reassembler.nothing && previous != Reassembler.nothing
            && fragments[Int(previous)].offset + fragments[Int(previous)].length == offset
        link(record, behind: previous, before: next, in: index)
        datagram.pointee.arrived += end - offset
        if !parsed.flags.contains(.moreFragments) { datagram.pointee.hasLast = true }
        datagram.pointee.length = max(datagram.pointee.length, end)
        datagram.pointee.congestion |= 1 << (parsed.trafficClass & 3)
        datagram.pointee.largestPacket = max(datagram.pointee.largestPacket, Int(parsed.networkLength))
        if parsed.flags.contains(.dontFragment) { datagram.pointee.largestWithDF = max(datagram.pointee.largestWithDF, Int(parsed.networkLength)) }
        return .kept
    }

    /// Whether the bytes lie wholly in one run, whose fragment `first` they begin in.
    private func isContained(from first: UInt32, offset: Int, end: Int) -> Bool {
        var covered = fragments[Int(first)].offset + fragments[Int(first)].length
        var index = fragments[Int(first)].next
        while covered < end, index != Reassembler.nothing, fragments[Int(index)].continuesRun {
            covered += fragments[Int(index)].length
            index = fragments[Int(index)].next
        }
        return covered >= end
    }

    private mutating func link(_ record: UInt32, behind previous: UInt32, before next: UInt32, in index: UInt32) {
        let datagram = datagrams + Int(index)
        fragments[Int(record)].previous = previous
        fragments[Int(record)].next = next
        if previous == Reassembler.nothing { datagram.pointee.first = record } else { fragments[Int(previous)].next = record }
        if next == Reassembler.nothing { datagram.pointee.last = record } else { fragments[Int(next)].previous = record }
        datagram.pointee.fragmentCount += 1
    }

    /// Keeps the headers of the fragment with offset 0.
    private mutating func storeHeader(_ packet: PacketBuffer, _ parsed: ParsedPacket, payloadStart: Int, in index: UInt32) -> Bool {
        guard payloadStart <= Reassembler.blockBytes else { return false }
        let header = store(UnsafeRawPointer(packet.start), payloadStart, for: index)
        guard header != Reassembler.nothing else { return false }
        let datagram = datagrams + Int(index)
        datagram.pointee.header = header
        datagram.pointee.headerLength = payloadStart
        datagram.pointee.linkLength = Int(parsed.networkOffset)
        datagram.pointee.hasFirst = true
        if parsed.family == .ipv6 {
            datagram.pointee.fragmentHeaderOffset = Int(parsed.fragmentHeaderOffset)
            datagram.pointee.firstNextHeader = packet.load8(Int(parsed.fragmentHeaderOffset))
            datagram.pointee.nextHeaderOffset = Reassembler.offsetOfNextHeader(packet, parsed)
        }
        return true
    }

    /// Offset of the byte that names the fragment header: in the IPv6 header, or in the extension header before it.
    private static func offsetOfNextHeader(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Int {
        var nameAt = Int(parsed.networkOffset) + 6
        var offset = Int(parsed.networkOffset) + 40
        while offset < Int(parsed.fragmentHeaderOffset) {
            let isAuthentication = packet.load8(nameAt) == IPProtocol.authentication
            let words = Int(packet.load8(offset + 1))
            nameAt = offset
            offset += isAuthentication ? (words + 2) * 4 : (words + 1) * 8
        }
        return nameAt
    }

    /// Lays a whole datagram out and frees it.
    private mutating func finish(_ index: UInt32) -> ReassemblyResult {
        let datagram = datagrams[Int(index)]
        defer { destroy(index) }
        guard let congestion = Reassembler.congestion(seen: datagram.congestion) else { return .dropped(.fragmentECNMismatch) }
        let isIPv6 = datagram.key.source.family == .ipv6
        // The first fragment's header may be longer than that of the fragment whose end was checked.
        let fixedHeader = datagram.linkLength + (isIPv6 ? 40 + 8 : 0)
        guard datagram.headerLength - fixedHeader + datagram.length <= 65535 else { return .dropped(.fragmentTooLong) }
        let start = output + Reassembler.outputHeadroom
        load(datagram.header, datagram.headerLength, to: start)
        // The fragment header goes; its next header is named in its place.
        let headerLength = isIPv6 ? datagram.headerLength - 8 : datagram.headerLength
        var position = headerLength
        var count = 0
        var fragment = datagram.first
        while fragment != Reassembler.nothing {
            let record = fragments[Int(fragment)]
            load(record.block, record.length, to: start + position)
            geometry[count] = UInt16(record.length)
            count += 1
            position += record.length
            fragment = record.next
        }
        let packet = PacketBuffer(start: start, length: position, headroom: Reassembler.outputHeadroom, tailroom: Reassembler.outputBytes - position)
        var result = FragmentGeometry()
        result.lengths = UnsafePointer(geometry)
        result.count = count
        result.largestPacket = datagram.largestPacket
        let link = datagram.linkLength
        if isIPv6 {
            packet.store8(datagram.firstNextHeader, at: datagram.nextHeaderOffset)
            packet.store16(UInt16(position - link - 40), at: link + 4)
            packet.store8(packet.load8(link + 1) | congestion << 4, at: link + 1)
        } else {
            result.dontFragment = datagram.largestWithDF == datagram.largestPacket
            packet.store16(UInt16(position - link), at: link + 2)
            packet.store8(packet.load8(link + 1) | congestion, at: link + 1)
            packet.store16(result.dontFragment ? 0x4000 : 0, at: link + 6)
            Checksum.fillIPv4Header(start + link, length: headerLength - link)
        }
        return .complete(ReassembledPacket(packet: packet, fragments: result))
    }

    /// The ECN bits to add to the first fragment's (RFC 3168 section 5.3): nil if "not capable" is mixed with others.
    private static func congestion(seen: UInt8) -> UInt8? {
        let notCapable = seen & 1 != 0, experienced = seen & 8 != 0
        if notCapable, seen != 1 { return nil }
        return experienced && seen != 8 ? 3 : 0
    }
}
