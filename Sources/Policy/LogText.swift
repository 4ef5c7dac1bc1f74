// A logged packet as the kernel's log shows it: `PREFIXIN=lan OUT=wan MAC=... SRC=... DST=... LEN=...`.
//
// Invariant: reads only the bytes that the record captured; what was cut off shows as INCOMPLETE, as in Linux. Source of the
// format: nf_log_syslog.c (dump_ipv4_packet, dump_ipv6_packet, nf_log_dump_tcp_header and the like).
import Ruleset
import Wire

struct LogText {
    private let bytes: [UInt8]
    private let flags: UInt8
    private(set) var text = ""

    /// Bits of `Log.flags`.
    private enum Flag {
        static let tcpSequence: UInt8 = 1
        static let tcpOptions: UInt8 = 2
        static let ipOptions: UInt8 = 4
        static let decodedMAC: UInt8 = 32
    }

    /// - Parameter interface: names of interfaces by place; empty for none.
    init(_ record: LogRecord, _ log: Log, interface: (UInt16) -> String) {
        bytes = withUnsafeBytes(of: record.capture) { Array($0.prefix(Int(record.captured))) }
        flags = log.flags
        let hasInput = record.hook != .postrouting && record.hook != .output && record.input != PacketContext.noInterface
        let hasOutput = record.hook != .prerouting && record.hook != .input && record.hook != .ingress && record.output != PacketContext.noInterface
        text = "\(log.prefix ?? "")IN=\(hasInput ? interface(record.input) : "") OUT=\(hasOutput ? interface(record.output) : "") "
        if hasInput { link() }
        let network = Int(record.networkOffset)
        switch network >= 2 ? word(network - 2) : 0 {
        case EtherType.ipv4: ipv4(network, isInner: false)
        case EtherType.ipv6: ipv6(network, isInner: false)
        case EtherType.arp: arp(network)
        default: break
        }
        if record.mark != 0 { text += "MARK=0x\(hex(record.mark)) " }
    }

    // MARK: - Bytes

    private func byte(_ place: Int) -> UInt8 { place < bytes.count ? bytes[place] : 0 }
    private func word(_ place: Int) -> UInt16 { UInt16(byte(place)) << 8 | UInt16(byte(place + 1)) }
    private func long(_ place: Int) -> UInt32 { UInt32(word(place)) << 16 | UInt32(word(place + 2)) }
    private func hex(_ value: some BinaryInteger, _ digits: Int = 0, upper: Bool = false) -> String {
        let text = String(value, radix: 16, uppercase: upper)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    private func mac(_ place: Int) -> String { (place ..< place + 6).map { hex(byte($0), 2) }.joined(separator: ":") }
    private func address4(_ place: Int) -> String { (place ..< place + 4).map { String(byte($0)) }.joined(separator: ".") }
    private func address6(_ place: Int) -> String { stride(from: place, to: place + 16, by: 2).map { hex(word($0), 4) }.joined(separator: ":") }

    /// True if the bytes are there; else says how many are.
    private mutating func has(_ place: Int, _ count: Int) -> Bool {
        if place + count <= bytes.count { return true }
        text += "INCOMPLETE [\(max(0, bytes.count - place)) bytes] "
        return false
    }

    private mutating func options(_ range: Range<Int>) {
        text += "OPT (" + range.map { hex(byte($0), 2, upper: true) }.joined() + ") "
    }

    // MARK: - Headers

    private mutating func link() {
        if flags & Flag.decodedMAC != 0 {
            text += "MACSRC=\(mac(6)) MACDST=\(mac(0)) MACPROTO=\(hex(word(12), 4)) "
        } else {
            text += "MAC=" + (0 ..< 14).map { hex(byte($0), 2) }.joined(separator: ":") + " "
        }
    }

    private mutating func ipv4(_ start: Int, isInner: Bool) {
        guard has(start, 20) else { return }
        let header = Int(byte(start) & 15) * 4, fragment = word(start + 6)
        text += "SRC=\(address4(start + 12)) DST=\(address4(start + 16)) "
        text += "LEN=\(word(start + 2)) TOS=0x\(hex(byte(start + 1) & 0x1e, 2, upper: true)) PREC=0x\(hex(byte(start + 1) & 0xe0, 2, upper: true)) "
        text += "TTL=\(byte(start + 8)) ID=\(word(start + 4)) "
        if fragment & 0x8000 != 0 { text += "CE " }
        if fragment & 0x4000 != 0 { text += "DF " }
        if fragment & 0x2000 != 0 { text += "MF " }
        let isLater = fragment & 0x1fff != 0
        if isLater { text += "FRAG:\(fragment & 0x1fff) " }
        if flags & Flag.ipOptions != 0, header > 20 {
            guard has(start + 20, header - 20) else { return }
            options(start + 20 ..< start + header)
        }
        transport(byte(start + 9), start + header, isLater: isLater, isInner: isInner, isIPv6: false)
    }

    private mutating func ipv6(_ start: Int, isInner: Bool) {
        guard has(start, 40) else { return }
        let first = long(start)
        text += "SRC=\(address6(start + 8)) DST=\(address6(start + 24)) "
        text += "LEN=\(Int(word(start + 4)) + 40) TC=\(first >> 20 & 255) HOPLIMIT=\(byte(start + 7)) FLOWLBL=\(first & 0xf_ffff) "
        var next = byte(start + 6), place = start + 40
        var isLater = false
        headers: while place < bytes.count {
            switch next {
            case 0, 43, 60:
                if isLater {
                    text += " "
                    return
                }
                let length = (Int(byte(place + 1)) + 1) * 8
                if flags & Flag.ipOptions != 0 { text += "OPT ( ) " }
                next = byte(place)
                place += length
            case 44:
                guard has(place, 8) else { return }
                let offset = word(place + 2)
                text += "FRAG:\(offset & 0xfff8) "
                if offset & 1 != 0 { text += "INCOMPLETE " }
                text += "ID:\(hex(long(place + 4), 8)) "
                isLater = offset & 0xfff8 != 0
                next = byte(place)
                place += 8
            default: break headers
            }
        }
        transport(next, place, isLater: isLater, isInner: isInner, isIPv6: true)
    }

    private mutating func transport(_ number: UInt8, _ start: Int, isLater: Bool, isInner: Bool, isIPv6: Bool) {
        switch number {
        case IPProtocol.tcp:
            text += "PROTO=TCP "
            if !isLater { tcp(start) }
        case IPProtocol.udp, IPProtocol.udplite:
            text += number == IPProtocol.udp ? "PROTO=UDP " : "PROTO=UDPLITE "
            if !isLater, has(start, 8) { text += "SPT=\(word(start)) DPT=\(word(start + 2)) LEN=\(word(start + 4)) " }
        case IPProtocol.icmp where !isIPv6:
            text += "PROTO=ICMP "
            if !isLater { icmp(start, isInner: isInner) }
        case IPProtocol.icmpv6 where isIPv6:
            text += "PROTO=ICMPv6 "
            if !isLater { icmpv6(start, isInner: isInner) }
        case 50, 51:
            text += number == 50 ? "PROTO=ESP " : "PROTO=AH "
            if !isLater, has(start, number == 50 ? 8 : 12) { text += "SPI=0x\(hex(long(number == 50 ? start : start + 4))) " }
        default: text += "PROTO=\(number) "
        }
    }

    private mutating func tcp(_ start: Int) {
        guard has(start, 20) else { return }
        text += "SPT=\(word(start)) DPT=\(word(start + 2)) "
        if flags & Flag.tcpSequence != 0 { text += "SEQ=\(long(start + 4)) ACK=\(long(start + 8)) " }
        text += "WINDOW=\(word(start + 14)) RES=0x\(hex(byte(start + 12) << 2 & 0x3c, 2)) "
        for (bit, name) in [(0x80, "CWR"), (0x40, "ECE"), (0x20, "URG"), (0x10, "ACK"), (0x08, "PSH"), (0x04, "RST"), (0x02, "SYN"), (0x01, "FIN")] as [(UInt8, String)]
        where byte(start + 13) & bit != 0 { text += "\(name) " }
        text += "URGP=\(word(start + 18)) "
        let header = Int(byte(start + 12) >> 4) * 4
        if flags & Flag.tcpOptions != 0, header > 20, has(start + 20, header - 20) { options(start + 20 ..< start + header) }
    }

    private mutating func icmp(_ start: Int, isInner: Bool) {
        guard has(start, 8) else { return }
        let type = byte(start), code = byte(start + 1)
        text += "TYPE=\(type) CODE=\(code) "
        switch type {
        case 0, 8: text += "ID=\(word(start + 4)) SEQ=\(word(start + 6)) "
        case 3, 4, 5, 11, 12:
            if type == 12 { text += "PARAMETER=\(byte(start + 4)) " }
            if type == 5 { text += "GATEWAY=\(address4(start + 4)) " }
            if !isInner, type != 12 {
                text += "["
                ipv4(start + 8, isInner: true)
                text += "] "
            }
            if type == 3, code == 4 { text += "MTU=\(word(start + 6)) " }
        default: break
        }
    }

    private mutating func icmpv6(_ start: Int, isInner: Bool) {
        guard has(start, 8) else { return }
        let type = byte(start)
        text += "TYPE=\(type) CODE=\(byte(start + 1)) "
        switch type {
        case 128, 129: text += "ID=\(word(start + 4)) SEQ=\(word(start + 6)) "
        case 1 ... 4:
            if type == 4 { text += "POINTER=\(hex(long(start + 4), 8)) " }
            if !isInner {
                text += "["
                ipv6(start + 8, isInner: true)
                text += "] "
            }
            if type == 2 { text += "MTU=\(long(start + 4)) " }
        default: break
        }
    }

    private mutating func arp(_ start: Int) {
        guard has(start, 8) else { return }
        text += "ARP HTYPE=\(word(start)) PTYPE=0x\(hex(word(start + 2), 4)) OPCODE=\(word(start + 6)) "
        guard word(start) == 1, byte(start + 4) == 6, byte(start + 5) == 4, has(start + 8, 20) else { return }
        text += "MACSRC=\(mac(start + 8)) IPSRC=\(address4(start + 14)) MACDST=\(mac(start + 18)) IPDST=\(address4(start + 24)) "
    }
}

/// One line of the packet log.
public struct LogLine: Sendable, Codable, Equatable {
    /// Counts lines from 0; a gap: lines that were pushed out before anybody read them.
    public var number: Int
    /// Seconds since 1970 UTC.
    public var time: Double
    /// syslog's: 0 emergency to 7 debug; 8: audit.
    public var level: UInt8
    /// `log group`.
    public var group: UInt16?
    public var text: String
}

extension CompiledRuleset {
    /// A record of this ruleset as a line.
    public func logLine(_ record: LogRecord, number: Int, wallClockOffset: UInt64) -> LogLine {
        let log = logStatement(record.statement)
        let text = LogText(record, log) { Int($0) < interfaces.count ? interfaces[Int($0)].name : "" }.text
        return LogLine(number: number, time: Double(wallClockOffset &+ record.timestamp) / 1e9, level: log.level ?? 4, group: log.group, text: String(text.dropLast()))
    }
}
