// Writes a capture file (pcap, Ethernet) by libpcap.
//
// Invariant: the same records give the same bytes: nothing of the machine or of the clock gets into the file.
import CPcap
import Glibc

public struct CaptureWriter: ~Copyable {
    public enum Precision: Sendable { case microseconds, nanoseconds }
    public let path: String
    /// Records written so far.
    public private(set) var count = 0
    private let precision: Precision
    private let dead: OpaquePointer
    private let dumper: OpaquePointer

    /// Creates the file, or empties it.
    /// - Throws: `DPDKError` (.file) if it cannot be written.
    public init(path: String, precision: Precision = .nanoseconds) throws {
        self.path = path
        self.precision = precision
        let unit = precision == .nanoseconds ? PCAP_TSTAMP_PRECISION_NANO : PCAP_TSTAMP_PRECISION_MICRO
        // 262144 is libpcap's largest snapshot length for Ethernet: every frame is whole.
        guard let dead = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262_144, UInt32(unit)) else {
            throw DPDKError(.file, "\(path): libpcap has no memory")
        }
        guard let dumper = pcap_dump_open(dead, path) else {
            let text = pcap_geterr(dead).map { String(cString: $0) } ?? "unknown error"
            pcap_close(dead)
            throw DPDKError(.file, "cannot write a capture: \(text)", advice: "check that the folder exists and is writable")
        }
        self.dead = dead
        self.dumper = dumper
    }

    /// Closes the file. `finish` before it reports what a full disk did.
    deinit {
        pcap_dump_close(dumper)
        pcap_close(dead)
    }

    /// Appends a frame with its time in nanoseconds since 1970 (before the year 2106).
    public mutating func write(_ frame: UnsafeRawBufferPointer, timestamp: UInt64) {
        var header = pcap_pkthdr()
        header.ts.tv_sec = Int(timestamp / 1_000_000_000)
        let nanoseconds = Int(timestamp % 1_000_000_000)
        header.ts.tv_usec = precision == .nanoseconds ? nanoseconds : nanoseconds / 1000
        header.caplen = UInt32(frame.count)
        header.len = UInt32(frame.count)
        guard let bytes = frame.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        pcap_dump(UnsafeMutableRawPointer(dumper).assumingMemoryBound(to: UInt8.self), &header, bytes)
        count += 1
    }

    /// Appends a packet that was sent, whatever number of segments it has.
    public mutating func write(_ packet: Mbuf, timestamp: UInt64) {
        if packet.segmentCount == 1 {
            write(UnsafeRawBufferPointer(start: packet.data, count: packet.length), timestamp: timestamp)
            return
        }
        var frame: [UInt8] = []
        var segment: Mbuf? = packet
        while let part = segment {
            frame.append(contentsOf: UnsafeRawBufferPointer(start: part.data, count: part.length))
            segment = part.next
        }
        frame.withUnsafeBytes { write($0, timestamp: timestamp) }
    }

    /// Brings everything into the file.
    /// - Throws: `DPDKError` (.file) if anything written so far did not get there.
    public mutating func finish() throws {
        let flushed = pcap_dump_flush(dumper) == 0
        guard flushed, ferror(pcap_dump_file(dumper)) == 0 else {
            throw DPDKError(.file, "\(path): writing failed: \(errnoText(errno))", advice: "check the space on the disk")
        }
    }
}
