// A batch's cache misses together: what conntrack and the rules will look at for each packet is asked for before the first is processed.
//
// Invariant: nothing is changed and nothing decided here. Only plain frames are anticipated: IPv4 or IPv6 without tags, options
// and extension headers, TCP or UDP; every load lies within the frame.
import CIntrinsics
import Conntrack
import Policy
import Wire

/// One packet that is to come.
struct Anticipation {
    var tracker = TrackerAnticipation()
    /// The frame, while it has not been processed.
    var frame: UnsafeMutableRawPointer?
    var length = 0
    var ingress: PortIndex = 0
    /// Of a connection that exists: its flow may be published.
    var isKnown = false
    var isIPv6 = false
    var flowHash: UInt64 = 0
}

extension SlowPath {
    /// Packets that are anticipated together.
    public static var anticipatedPackets: Int { Program.foresightSlots }

    /// The buckets of a frame's connection, requested, if it is plain. `anticipateAll` does the rest for all that were named.
    public mutating func anticipate(_ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex) {
        guard anticipatedCount < SlowPath.anticipatedPackets, let found = anticipateBuckets(frame, length) else { return }
        let anticipation = anticipations + anticipatedCount
        anticipation.pointee.tracker = found
        anticipation.pointee.frame = frame
        anticipation.pointee.length = length
        anticipation.pointee.ingress = ingress
        anticipatedCount &+= 1
    }

    private mutating func anticipateBuckets(_ frame: UnsafeMutableRawPointer, _ length: Int) -> TrackerAnticipation? {
        guard length >= 42 else { return nil }
        var tuple = ConnectionTuple()
        let ports: UnsafeMutableRawPointer
        let first = UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        if first >> 8 == 0x08_0045 {
            guard UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: 20, as: UInt16.self)) & 0x3fff == 0 else { return nil }
            tuple.family = .ipv4
            tuple.source = IPAddress(ipv4: UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 26, as: UInt32.self)))
            tuple.destination = IPAddress(ipv4: UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 30, as: UInt32.self)))
            tuple.transportProtocol = frame.load(fromByteOffset: 23, as: UInt8.self)
            ports = frame + 34
        } else if first >> 12 & 0xffff_f == 0x8_6dd6, length >= 62 {
            func word(_ offset: Int) -> UInt64 { UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
            tuple.family = .ipv6
            tuple.source = IPAddress(ipv6High: word(22), low: word(30))
            tuple.destination = IPAddress(ipv6High: word(38), low: word(46))
            tuple.transportProtocol = frame.load(fromByteOffset: 20, as: UInt8.self)
            ports = frame + 54
        } else {
            return nil
        }
        guard tuple.transportProtocol == IPProtocol.udp || tuple.transportProtocol == IPProtocol.tcp else { return nil }
        tuple.sourcePort = UInt16(bigEndian: ports.loadUnaligned(as: UInt16.self))
        tuple.destinationPort = UInt16(bigEndian: ports.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        if program.foresees { program.foreseeDirectories(anticipatedCount, frame, network: 14, transport: tuple.family == .ipv4 ? 34 : 54, end: length) }
        return tracker.pointee.anticipateBuckets(tuple)
    }

    /// Asks for what the frames named since the last call will need, stage by stage.
    public mutating func anticipateAll() {
        let count = anticipatedCount, program = self.program
        anticipatedCount = 0
        let foresees = program.foresees
        for place in 0 ..< count {
            tracker.pointee.anticipateRecords(&anticipations[place].tracker, incoming: count)
            if foresees { program.foreseeStarts(place) }
        }
        for place in 0 ..< count {
            anticipateFlow(anticipations + place, incoming: count)
            if foresees { program.foreseeLists(place) }
        }
        for place in 0 ..< count where anticipations[place].isKnown { foresight.requestRoom(anticipations[place].flowHash, isIPv6: anticipations[place].isIPv6) }
        guard foresees else { return }
        for place in 0 ..< count { program.foreseeRecords(place) }
        for place in 0 ..< count { program.foreseeRules(place) }
        for place in 0 ..< count { program.foreseeCounters(place) }
    }

    /// The connection's place in the flow cache: of one that has to go what names its entries, of the packet's own where its entry would be.
    private mutating func anticipateFlow(_ anticipation: UnsafeMutablePointer<Anticipation>, incoming: Int) {
        let isOwn = tracker.pointee.anticipateEnd(anticipation.pointee.tracker, incoming: incoming)
        anticipation.pointee.isKnown = false
        let candidate = anticipation.pointee.tracker.candidate
        if candidate != Connection.none { ntl_prefetch_read(handles + Int(candidate) * 2) }
        guard isOwn, settings.cachesFlows, let frame = anticipation.pointee.frame,
            let flow = foresight.request(frame, length: anticipation.pointee.length, ingress: anticipation.pointee.ingress) else { return }
        anticipation.pointee.flowHash = flow.hash
        anticipation.pointee.isIPv6 = flow.isIPv6
        anticipation.pointee.isKnown = true
    }
}
