// Reads packets from a capture file (pcap or pcapng, microseconds or nanoseconds) by libpcap.
//
// Invariant: a record's bytes lie in libpcap's buffer and are valid until the next call of `next`. A damaged file ends
// in an error that names the file and the number of the record; never in a trap.
import CPcap
import Glibc

/// One packet of a capture.
public struct CaptureRecord {
    /// Nanoseconds since 1970, as the file says; 0 for a time before that.
    public var timestamp: UInt64
    /// What was captured, from the Ethernet header on.
    public var bytes: UnsafeRawBufferPointer
    /// Bytes that the frame had on the wire.
    public var originalLength: Int
    /// The capture's snapshot length cut the frame off.
    public var isTruncated: Bool { originalLength > bytes.count }
}

public struct CaptureReader: ~Copyable {
    public let path: String
    /// Records read so far.
    public private(set) var count = 0
    /// Of those, the ones that the snapshot length cut.
    public private(set) var truncatedCount = 0
    private let handle: OpaquePointer

    /// - Throws: `DPDKError` (.file) if the file cannot be opened, is no capture, or not one of Ethernet frames.
    public init(path: String) throws {
        var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
        guard let handle = pcap_open_offline_with_tstamp_precision(path, UInt32(PCAP_TSTAMP_PRECISION_NANO), &message) else {
            var text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix(path + ": ") { text.removeFirst(path.count + 2) }
            throw DPDKError(.file, "\(path): cannot be read as a capture: \(text)", advice: "pcap and pcapng files are read, not compressed ones")
        }
        let link = pcap_datalink(handle)
        guard link == DLT_EN10MB else {
            let name = pcap_datalink_val_to_name(link).map { String(cString: $0) } ?? "\(link)"
            pcap_close(handle)
            throw DPDKError(.file, "\(path): holds \(name) packets, not Ethernet frames", advice: "capture on one Ethernet interface, not on 'any'")
        }
        self.handle = handle
        self.path = path
    }

    deinit { pcap_close(handle) }

    /// The next record; nil at the end of the file.
    /// - Throws: `DPDKError` (.file) if the file is damaged or cut off here.
    public mutating func next() throws -> CaptureRecord? {
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var data: UnsafePointer<UInt8>?
        let result = pcap_next_ex(handle, &header, &data)
        if result == PCAP_ERROR_BREAK { return nil }
        guard result == 1, let header, let data else {
            let text = pcap_geterr(handle).map { String(cString: $0) } ?? "unknown error"
            throw DPDKError(.file, "\(path): damaged at record \(count + 1): \(text)", advice: "records before it are good; cut the file there")
        }
        count += 1
        // With nanosecond precision libpcap puts nanoseconds into tv_usec.
        let seconds = UInt64(max(0, header.pointee.ts.tv_sec)), fraction = UInt64(max(0, header.pointee.ts.tv_usec))
        let record = CaptureRecord(
            timestamp: header.pointee.ts.tv_sec < 0 ? 0 : seconds &* 1_000_000_000 &+ fraction,
            bytes: UnsafeRawBufferPointer(start: data, count: Int(header.pointee.caplen)), originalLength: Int(header.pointee.len))
        if record.isTruncated { truncatedCount += 1 }
        return record
    }
}
