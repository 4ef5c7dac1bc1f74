// Fragments on their way through the pipeline: put together before conntrack sees them, cut again on output, given up
// when the rest does not come.
//
// Sources: net/ipv4/netfilter/nf_defrag_ipv4.c, net/ipv6/netfilter/nf_conntrack_reasm.c, net/ipv4/ip_output.c,
// net/ipv6/ip6_output.c.
import Routing
import Wire

extension SlowPath {
    /// The defragmentation step: nil if the packet goes on (it is whole, or whole again, or IPv6 that cannot be put together).
    mutating func defragment(_ transit: inout Transit, isForUs: Bool = false) -> Disposition? {
        let isAtomic = transit.parsed.family == .ipv6 && transit.parsed.fragmentHeaderOffset != 0
        guard transit.parsed.flags.contains(.isFragment) || isAtomic else {
            return !isForUs && Reassembler.cutsFragmentHeader(transit.packet, transit.parsed) ? .dropped(.fragmentHeaderTruncated) : nil
        }
        let zone = transit.context.conntrack.requestedZoneDirections & 1 != 0 ? UInt32(transit.context.conntrack.requestedZone) : 0
        switch reassembler.insert(transit.packet, transit.parsed, user: zone, ingress: transit.ingress, now: transit.now) {
        case .queued: return .held
        case .dropped(let reason): return .dropped(reason)
        case .untouched(let reason, let problem):
            guard isForUs else { return nil }
            sendError(problem, about: transit)
            return .dropped(reason)
        case .complete(let whole):
            transit.packet = whole.packet
            transit.isInPlace = false
            transit.arrivalKey = nil
            transit.fragments = whole.fragments
            transit.largestFragment = whole.fragments.largestPacket
            transit.fragmentsHadDontFragment = whole.fragments.dontFragment
            let defect = PacketParser.parse(whole.packet, into: &transit.context.parsed)
            return defect == .none ? nil : .dropped(defect)
        }
    }

    /// Whether a packet has to leave in pieces (ip_finish_output, ip6_finish_output).
    mutating func needsFragmentation(_ transit: inout Transit) -> Bool {
        let length = Int(transit.context.parsed.networkLength)
        if length > transit.pathMTU { return true }
        guard transit.largestFragment > 0 else { return false }
        return transit.context.parsed.family == .ipv4 ? transit.fragments.count > 1 : length > transit.largestFragment
    }

    /// Sends the packet in pieces. What may not be cut is answered with "packet too big".
    mutating func fragment(_ transit: inout Transit) -> Disposition {
        let family = transit.parsed.family ?? .ipv4
        let cameInPieces = transit.largestFragment > 0
        let mayBeCut = family == .ipv6
            ? cameInPieces || transit.isOwn : !transit.parsed.flags.contains(.dontFragment) || cameInPieces
        let piecesWereLarger = cameInPieces && transit.largestFragment > transit.pathMTU && (family == .ipv6 || transit.fragmentsHadDontFragment)
        guard mayBeCut, !piecesWereLarger else {
            sendError(.packetTooBig(family, mtu: UInt32(transit.pathMTU)), about: transit)
            return .dropped(.packetTooBig)
        }
        guard var fragmenter = Fragmenter(
            transit.packet, transit.parsed, fragments: transit.fragments, mtu: transit.pathMTU, identification: UInt32(truncatingIfNeeded: random.next()))
        else { return .dropped(.packetTooBig) }
        // A packet of the router's own lies where the next piece would go.
        if !transit.isInPlace { outbox.protect(transit.packet) }
        var disposition = Disposition.forwarded
        while true {
            guard var piece = outbox.reserve(fragmenter.maximumPieceLength) else { return .dropped(.noBuffer) }
            let length = fragmenter.next(into: piece)
            guard length > 0 else { return length == 0 ? disposition : .dropped(.noBuffer) }
            piece.length = length
            var part = transit
            part.packet = piece
            part.isInPlace = false
            let defect = PacketParser.parse(piece, into: &part.context.parsed)
            let sent = defect == .none ? send(&part) : .dropped(defect)
            // Where one is dropped (an egress chain, say), the rest is not sent.
            if case .dropped = sent { return sent }
            if sent != .forwarded { disposition = sent }
        }
    }

    /// Counts datagrams that will never be whole; for IPv6 their senders are told, if the first piece came.
    mutating func expireFragments(now: Timestamp) {
        while let expired = reassembler.nextExpired(now: now) {
            statistics.count(.fragmentTimeout)
            guard expired.family == .ipv6, let first = expired.firstFragment else { continue }
            var transit = Transit(packet: first, ingress: expired.ingress, now: now, isInPlace: false)
            prepare(&transit.context, records: false)
            guard PacketParser.parse(first, into: &transit.context.parsed) == .none else { continue }
            sendError(.reassemblyTimeExceeded(.ipv6), about: transit)
        }
    }
}
