// Named maps, verdict maps and maps to objects.
import Testing

@testable import Ruleset

@Suite struct NamedMapTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : mark; elements = { 192.0.2.1 : 0x5, 192.0.2.2 : 0x6 }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : mark\n\t\telements = { 192.0.2.1 : 0x00000005,\n\t\t\t     192.0.2.2 : 0x00000006 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type inet_service : verdict; elements = { 22 : accept, 23 : drop }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype inet_service : verdict\n\t\telements = { 22 : accept,\n\t\t\t     23 : drop }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain a { }\nmap m { type inet_service : verdict; elements = { 22 : jump a, 23 : goto a }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype inet_service : verdict\n\t\telements = { 22 : jump a,\n\t\t\t     23 : goto a }\n\t}\n\n\tchain a {\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type inet_service : verdict; elements = { 22 : jump nowhere }; }\n}\n", "error 2:51-52: Could not process rule: No such file or directory"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : ipv4_addr . inet_service; elements = { 192.0.2.1 : 198.51.100.1 . 80 }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : ipv4_addr . inet_service\n\t\telements = { 192.0.2.1 : 198.51.100.1 . 80 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr . inet_service : ipv4_addr; flags interval; elements = { 192.0.2.0/24 . 80-90 : 198.51.100.1 }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr . inet_service : ipv4_addr\n\t\tflags interval\n\t\telements = { 192.0.2.0/24 . 80-90 : 198.51.100.1 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 192.0.2.0/24 : 198.51.100.0/24 }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : interval ipv4_addr\n\t\tflags interval\n\t\telements = { 192.0.2.0/24 : 198.51.100.0/24 }\n\t}\n}\n", losesInJSON: true),
        DeclarationRow("table inet t {\nmap m { typeof ip saddr : meta mark; elements = { 192.0.2.1 : 0x9 }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttypeof ip saddr : meta mark\n\t\telements = { 192.0.2.1 : 0x00000009 }\n\t}\n}\n", losesInJSON: true),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : verdict; flags interval; elements = { 192.0.2.0/24 : accept, * : drop }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\tflags interval\n\t\telements = { 192.0.2.0/24 : accept,\n\t\t\t     * : drop }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : verdict; elements = { 192.0.2.1 : accept, 192.0.2.1 : drop }; }\n}\n", "error 2:68-76: Could not process rule: File exists"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : verdict; elements = { 192.0.2.1 : accept, 192.0.2.1 : accept }; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\telements = { 192.0.2.1 : accept }\n\t}\n}\n"),
        DeclarationRow("table inet t {\ncounter hits { }\nmap m { type ipv4_addr : counter; elements = { 192.0.2.1 : \"hits\" }; }\n}\n", "table inet t {\n\tcounter hits {\n\t}\n\n\tmap m {\n\t\ttype ipv4_addr : counter\n\t\telements = { 192.0.2.1 : \"hits\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : counter; elements = { 192.0.2.1 : \"nothing\" }; }\n}\n", "error 2:48-56: Could not process rule: No such file or directory"),
        DeclarationRow("table inet t {\nquota q { over 10 mbytes }\nmap m { type inet_service : quota; flags interval; elements = { 1-100 : \"q\" }; }\n}\n", "table inet t {\n\tquota q {\n\t\tover 10 mbytes\n\t}\n\n\tmap m {\n\t\ttype inet_service : quota\n\t\tflags interval\n\t\telements = { 1-100 : \"q\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : counter; flags dynamic; }\n}\n", "error 2:5-5: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : verdict; timeout 5m; flags dynamic; size 10; }\n}\n", "table inet t {\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\tsize 10\n\t\tflags dynamic,timeout\n\t\ttimeout 5m\n\t}\n}\n"),
        DeclarationRow("table inet t {\nmap m { type ipv4_addr : nosuch; }\n}\n", "error 2:26-31: unknown datatype nosuch"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
