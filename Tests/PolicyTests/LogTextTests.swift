// Logged packets against lines of Linux's own log (nf_log_syslog), with their interfaces renamed.
@testable import Policy
import Ruleset
import Testing
import Wire

@Suite struct LogTextTests {
    private func line(_ rule: String, _ frame: Frame, hook: String = "forward", mark: UInt32 = 0) -> String? {
        let loaded = RulesetValue().applying(text: "table inet t { chain c { type filter hook \(hook) priority 0; \(rule); }; }")
        let compiled = compile(loaded.value)
        var ring = LogRing(capacity: 2)
        defer { ring.deallocate() }
        var context = frame.context(now: 5_000_000_000)
        context.mark = mark
        withUnsafeMutablePointer(to: &ring) {
            context.log = $0
            _ = compiled.run(&context, hook == "forward" ? .forward : hook == "postrouting" ? .postrouting : .prerouting)
        }
        return ring.next().map { compiled.logLine($0, number: 0, wallClockOffset: 1_000_000_000).text }
    }

    private let mac = "MAC=02:00:00:00:0a:01:02:00:00:00:0a:02:08:00"

    @Test func linesReadAsTheKernels() {
        #expect(line("log prefix \"in: \"", .tcp(80), mark: 16) ==
            "in: IN=lan0 OUT=wan0 \(mac) SRC=10.0.1.2 DST=10.0.2.2 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=TCP SPT=1024 DPT=80 WINDOW=8192 RES=0x00 SYN URGP=0 MARK=0x10")
        #expect(line("log flags all", .tcp(80, flags: 0x12, options: [2, 4, 5, 0xb4])) ==
            "IN=lan0 OUT=wan0 MACSRC=02:00:00:00:0a:02 MACDST=02:00:00:00:0a:01 MACPROTO=0800 SRC=10.0.1.2 DST=10.0.2.2 LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=TCP SPT=1024 DPT=80 SEQ=1 ACK=0 WINDOW=8192 RES=0x00 ACK SYN URGP=0 OPT (020405B4)")
        #expect(line("log", .udp(1000, 53, tos: 0xb8), hook: "postrouting") ==
            "IN= OUT=wan0 SRC=10.0.1.2 DST=10.0.2.2 LEN=32 TOS=0x18 PREC=0xA0 TTL=64 ID=1 PROTO=UDP SPT=1000 DPT=53 LEN=12")
        #expect(line("log", .ipv4(17, [1, 2, 3, 4, 5, 6, 7, 8], fragment: 0x2003), hook: "prerouting") ==
            "IN=lan0 OUT= \(mac) SRC=10.0.1.2 DST=10.0.2.2 LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=1 MF FRAG:3 PROTO=UDP")
        #expect(line("log", .ipv4(1, [8, 0, 0, 0, 0, 7, 0, 1])) ==
            "IN=lan0 OUT=wan0 \(mac) SRC=10.0.1.2 DST=10.0.2.2 LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=ICMP TYPE=8 CODE=0 ID=7 SEQ=1")
        #expect(line("log", .ipv4(47, [0, 0, 8, 0])) == "IN=lan0 OUT=wan0 \(mac) SRC=10.0.1.2 DST=10.0.2.2 LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=47")
        #expect(line("log", .ipv6(next: 17, [0, 1, 0, 2, 0, 8, 0, 0])) ==
            "IN=lan0 OUT=wan0 MAC=02:00:00:00:0a:01:02:00:00:00:0a:02:86:dd SRC=fd00:0000:0000:0000:0000:0000:0000:0001 DST=fd00:0000:0000:0000:0000:0000:0000:0002 LEN=48 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=UDP SPT=1 DPT=2 LEN=8")
    }

    @Test func errorsShowThePacketTheySpeakOf() {
        let inner = Array(Frame.udp(5, 6).bytes[14...])
        let text = line("log", .ipv4(1, [3, 4, 0, 0, 0, 0, 5, 0x78] + inner))
        #expect(text?.hasSuffix("PROTO=ICMP TYPE=3 CODE=4 [SRC=10.0.1.2 DST=10.0.2.2 LEN=32 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=UDP SPT=5 DPT=6 LEN=12 ] MTU=1400") == true)
    }

    @Test func aFullRingGivesUpItsOldest() {
        var ring = LogRing(capacity: 2)
        defer { ring.deallocate() }
        for number in 0 ..< 5 {
            var record = LogRecord()
            record.mark = UInt32(number)
            ring.append(record)
        }
        #expect(ring.lost == 3 && ring.next()?.mark == 3 && ring.next()?.mark == 4 && ring.next() == nil)
    }
}
