// A batch's cache misses together: what conntrack will look at for each packet is asked for before the first is processed.
//
// Invariant: nothing is changed and nothing decided here. Only plain frames are anticipated: IPv4 or IPv6 without tags, options
// and extension headers, TCP or UDP; every load lies within the frame.
import CIntrinsics
import Conntrack
import Wire

extension SlowPath {
    /// The buckets of a frame's connection, requested; nil for a frame that is not plain.
    public mutating func anticipate(_ frame: UnsafeMutableRawPointer, length: Int) -> TrackerAnticipation? {
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
        return tracker.pointee.anticipateBuckets(tuple)
    }

    public mutating func anticipateRecords(_ anticipation: inout TrackerAnticipation, incoming: Int) { tracker.pointee.anticipateRecords(&anticipation, incoming: incoming) }

    public mutating func anticipateEnd(_ anticipation: TrackerAnticipation, incoming: Int) {
        tracker.pointee.anticipateEnd(anticipation, incoming: incoming)
        if anticipation.candidate != Connection.none { ntl_prefetch_read(handles + Int(anticipation.candidate) * 2) }
    }
}
