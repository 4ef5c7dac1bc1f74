// One packet of DPDK: a pointer to struct rte_mbuf, with accessors that compile to one load or store each.
//
// Invariant: the value owns nothing and counts no references; exactly one party at a time holds a packet, and it sends
// it, hands it over or frees it once. Nothing here is checked: a length from the wire is checked before it comes here.
import CDPDK
import Wire

@frozen public struct Mbuf: @unchecked Sendable, Equatable {
    public var raw: OpaquePointer
    @inlinable @inline(__always) public init(_ raw: OpaquePointer) { self.raw = raw }

    /// First byte of the frame.
    @inlinable @inline(__always) public var data: UnsafeMutableRawPointer { nt_mbuf_data(raw).unsafelyUnwrapped }
    /// Bytes in the first segment: the whole frame if `segmentCount` is 1.
    @inlinable @inline(__always) public var length: Int { Int(nt_mbuf_data_len(raw)) }
    /// Bytes in all segments.
    @inlinable @inline(__always) public var totalLength: Int { Int(nt_mbuf_pkt_len(raw)) }
    @inlinable @inline(__always) public var segmentCount: Int { Int(nt_mbuf_nb_segs(raw)) }
    @inlinable @inline(__always) public var next: Mbuf? { nt_mbuf_next(raw).map(Mbuf.init) }
    /// Free bytes before and behind the frame.
    @inlinable @inline(__always) public var headroom: Int { Int(nt_mbuf_headroom(raw)) }
    @inlinable @inline(__always) public var tailroom: Int { Int(nt_mbuf_tailroom(raw)) }
    /// What the NIC found out, and what it is asked to do.
    @inlinable @inline(__always) public var offloadFlags: OffloadFlags {
        get { OffloadFlags(rawValue: nt_mbuf_ol_flags(raw)) }
        nonmutating set { nt_mbuf_set_ol_flags(raw, newValue.rawValue) }
    }
    /// DPDK's number of the port that received it.
    @inlinable @inline(__always) public var port: UInt16 {
        get { nt_mbuf_port(raw) }
        nonmutating set { nt_mbuf_set_port(raw, newValue) }
    }
    /// RSS hash, valid with `OffloadFlags.rssHash`.
    @inlinable @inline(__always) public var rssHash: UInt32 {
        get { nt_mbuf_rss(raw) }
        nonmutating set { nt_mbuf_set_rss(raw, newValue) }
    }
    /// MARK of a flow rule, valid with `OffloadFlags.mark`.
    @inlinable @inline(__always) public var mark: UInt32 {
        get { nt_mbuf_mark(raw) }
        nonmutating set { nt_mbuf_set_mark(raw, newValue) }
    }
    /// The tag that the NIC took out of the frame, valid with `OffloadFlags.vlanStripped`.
    @inlinable @inline(__always) public var vlanTag: UInt16 { nt_mbuf_vlan_tci(raw) }
    /// The `privateBytes` of the mempool: the holder's own notes on the packet.
    @inlinable @inline(__always) public var privateData: UnsafeMutableRawPointer { nt_mbuf_private(raw).unsafelyUnwrapped }

    /// The frame as Wire sees it; for a packet of one segment.
    @inlinable @inline(__always) public var packetBuffer: PacketBuffer {
        PacketBuffer(start: data, length: length, headroom: headroom, tailroom: tailroom)
    }
    /// Makes the frame what `packet` says, after a rewrite that moved its ends; `packet` lies in this mbuf's data room.
    @inlinable @inline(__always) public func setFrame(_ packet: PacketBuffer) {
        nt_mbuf_set_frame(raw, UInt16(truncatingIfNeeded: packet.headroom), UInt16(truncatingIfNeeded: packet.length))
    }
    /// Makes the frame `length` bytes long, `headroom` bytes behind the start of the data room.
    @inlinable @inline(__always) public func setFrame(headroom: Int, length: Int) {
        nt_mbuf_set_frame(raw, UInt16(truncatingIfNeeded: headroom), UInt16(truncatingIfNeeded: length))
    }

    /// `bytes` more before the frame: its new first byte; nil if the headroom is shorter.
    @inlinable @inline(__always) public func prepend(_ bytes: Int) -> UnsafeMutableRawPointer? { nt_mbuf_prepend(raw, UInt16(truncatingIfNeeded: bytes)) }
    /// `bytes` more behind the frame: the first of them; nil if the tailroom of the last segment is shorter.
    @inlinable @inline(__always) public func append(_ bytes: Int) -> UnsafeMutableRawPointer? { nt_mbuf_append(raw, UInt16(truncatingIfNeeded: bytes)) }
    /// Takes `bytes` off the frame's start: its new first byte; nil if the first segment is shorter.
    @inlinable @inline(__always) @discardableResult public func removeFirst(_ bytes: Int) -> UnsafeMutableRawPointer? { nt_mbuf_adj(raw, UInt16(truncatingIfNeeded: bytes)) }
    /// Takes `bytes` off the frame's end; false if the last segment is shorter.
    @inlinable @inline(__always) @discardableResult public func removeLast(_ bytes: Int) -> Bool { nt_mbuf_trim(raw, UInt16(truncatingIfNeeded: bytes)) == 0 }
    /// Moves a packet of several segments into its first; false if that has not enough tailroom.
    @inlinable public func linearize() -> Bool { nt_mbuf_linearize(raw) == 0 }
    /// Gives all segments back to their pools.
    @inlinable @inline(__always) public func free() { nt_mbuf_free(raw) }
    /// Brings the first line of the mbuf itself into the cache.
    @inlinable @inline(__always) public func prefetch() { nt_mbuf_prefetch(raw) }
    /// Brings the first line of the frame into the cache; loads the mbuf to learn where it is.
    @inlinable @inline(__always) public func prefetchData() { nt_prefetch(data) }

    /// Asks the NIC to compute checksums on transmission. The port must have the offload; the transport's checksum
    /// field must hold the sum of the pseudo header (RFC 9293 section 3.1) before it is sent.
    @inlinable public func requestTransmitChecksums(_ flags: OffloadFlags, linkBytes: Int, networkBytes: Int, transportBytes: Int) {
        nt_mbuf_set_tx_lengths(raw, UInt64(linkBytes), UInt64(networkBytes), UInt64(transportBytes))
        nt_mbuf_set_ol_flags(raw, nt_mbuf_ol_flags(raw) | flags.rawValue)
    }
}

/// `ol_flags` of an mbuf. The values are checked against DPDK's in nt_mbuf.h.
@frozen public struct OffloadFlags: OptionSet, Sendable {
    public var rawValue: UInt64
    @inlinable @inline(__always) public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable @inline(__always) public static var vlan: OffloadFlags { OffloadFlags(rawValue: 1 << 0) }
    @inlinable @inline(__always) public static var rssHash: OffloadFlags { OffloadFlags(rawValue: 1 << 1) }
    @inlinable @inline(__always) public static var flowDirector: OffloadFlags { OffloadFlags(rawValue: 1 << 2) }
    @inlinable @inline(__always) public static var vlanStripped: OffloadFlags { OffloadFlags(rawValue: 1 << 6) }
    /// A flow rule's MARK is in the mbuf.
    @inlinable @inline(__always) public static var mark: OffloadFlags { OffloadFlags(rawValue: 1 << 13) }
    /// Receive checksum verdicts: neither bit is "not checked"; both are "field not filled in, data are right".
    @inlinable @inline(__always) public static var ipChecksumBad: OffloadFlags { OffloadFlags(rawValue: 1 << 4) }
    @inlinable @inline(__always) public static var ipChecksumGood: OffloadFlags { OffloadFlags(rawValue: 1 << 7) }
    @inlinable @inline(__always) public static var transportChecksumBad: OffloadFlags { OffloadFlags(rawValue: 1 << 3) }
    @inlinable @inline(__always) public static var transportChecksumGood: OffloadFlags { OffloadFlags(rawValue: 1 << 8) }
    /// Transmit requests.
    @inlinable @inline(__always) public static var sendTCPChecksum: OffloadFlags { OffloadFlags(rawValue: 1 << 52) }
    @inlinable @inline(__always) public static var sendUDPChecksum: OffloadFlags { OffloadFlags(rawValue: 3 << 52) }
    @inlinable @inline(__always) public static var sendIPv4Checksum: OffloadFlags { OffloadFlags(rawValue: 1 << 54) }
    @inlinable @inline(__always) public static var sendIPv4: OffloadFlags { OffloadFlags(rawValue: 1 << 55) }
    @inlinable @inline(__always) public static var sendIPv6: OffloadFlags { OffloadFlags(rawValue: 1 << 56) }
}

/// Brings a cache line in, for reading.
@inlinable @inline(__always) public func prefetch(_ address: UnsafeRawPointer) { nt_prefetch(address) }
/// Brings a cache line in, for writing.
@inlinable @inline(__always) public func prefetchForWriting(_ address: UnsafeRawPointer) { nt_prefetch_write(address) }
