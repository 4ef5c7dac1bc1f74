// Counters, quotas, limits, helpers, timeouts, expectations, synproxies and marks by name.
import Testing

@testable import Ruleset

@Suite struct ObjectTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("table inet t {\ncounter c { }\n}\n", "table inet t {\n\tcounter c {\n\t}\n}\n"),
        DeclarationRow("table inet t {\ncounter c { packets 5 bytes 60 }\n}\n", "table inet t {\n\tcounter c {\n\t}\n}\n"),
        DeclarationRow("table inet t {\ncounter c { comment \"of all\" }\n}\n", "table inet t {\n\tcounter c {\n\t\tcomment \"of all\"\n\t}\n}\n"),
        DeclarationRow("table inet t {\nquota q { 25 mbytes }\n}\n", "table inet t {\n\tquota q {\n\t\t25 mbytes\n\t}\n}\n"),
        DeclarationRow("table inet t {\nquota q { over 100 kbytes used 5 kbytes }\n}\n", "table inet t {\n\tquota q {\n\t\tover 100 kbytes\n\t}\n}\n"),
        DeclarationRow("table inet t {\nlimit l { rate 10/second }\n}\n", "table inet t {\n\tlimit l {\n\t\trate 10/second\n\t}\n}\n"),
        DeclarationRow("table inet t {\nlimit l { rate over 5/minute burst 9 packets }\n}\n", "table inet t {\n\tlimit l {\n\t\trate over 5/minute burst 9 packets\n\t}\n}\n"),
        DeclarationRow("table inet t {\nlimit l { rate 1 mbytes/second burst 2 kbytes }\n}\n", "table inet t {\n\tlimit l {\n\t\trate 1 mbytes/second burst 2 kbytes\n\t}\n}\n"),
        DeclarationRow("table inet t {\nct helper h { type \"ftp\" protocol tcp; }\n}\n", "table inet t {\n\tct helper h {\n\t\ttype \"ftp\" protocol tcp\n\t\tl3proto inet\n\t}\n}\n"),
        DeclarationRow("table inet t {\nct helper h { type \"tftp\" protocol udp; l3proto ip; }\n}\n", "table inet t {\n\tct helper h {\n\t\ttype \"tftp\" protocol udp\n\t\tl3proto ip\n\t}\n}\n"),
        DeclarationRow("table inet t {\nct timeout o { protocol tcp; l3proto ip; policy = { established : 2h, close : 9s }; }\n}\n", "table inet t {\n\tct timeout o {\n\t\tprotocol tcp\n\t\tl3proto ip\n\t\tpolicy = { established : 2h, close : 9s }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nct expectation e { protocol udp; dport 5000; timeout 30s; size 3; l3proto ip; }\n}\n", "table inet t {\n\tct expectation e {\n\t\tprotocol udp\n\t\tdport 5000\n\t\ttimeout 30s\n\t\tsize 3\n\t\tl3proto ip\n\t}\n}\n"),
        DeclarationRow("table inet t {\nsynproxy y { mss 1460; wscale 7; timestamp sack-perm; }\n}\n", "table inet t {\n\tsynproxy y {\n\t\tmss 1460\n\t\twscale 7\n\t\ttimestamp sack-perm\n\t}\n}\n"),
        DeclarationRow("table inet t {\nsynproxy y { mss 1400 wscale 3 }\n}\n", "table inet t {\n\tsynproxy y {\n\t\tmss 1400\n\t\twscale 3\n\t}\n}\n"),
        DeclarationRow("table inet t {\ncounter c { }\nchain r { counter name \"c\" accept\n }\n}\n", "table inet t {\n\tcounter c {\n\t}\n\n\tchain r {\n\t\tcounter name \"c\" accept\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain r { counter name \"c\"\n }\n}\n", "error 2:24-26: Could not process rule: No such file or directory"),
        DeclarationRow("table inet t {\ncounter c { }\nquota c { 5 bytes }\n}\n", "table inet t {\n\tcounter c {\n\t}\n\n\tquota c {\n\t\t5 bytes\n\t}\n}\n"),
        DeclarationRow("table inet t {\nlimit l { rate 0/second }\n}\n", "error 2:16-16: limit rate must be > 0"),
        DeclarationRow("table inet t {\nquota q { 5 }\n}\n", "error 2:13-13: syntax error, unexpected '}', expecting string or bytes"),
        DeclarationRow("table inet t {\ncounter c { packets x }\n}\n", "error 2:21-21: syntax error, unexpected string, expecting number"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
