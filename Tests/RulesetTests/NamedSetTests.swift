// Named sets: types, flags, elements, and what is refused.
import Testing

@testable import Ruleset

@Suite struct NamedSetTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("table inet t {\nset s { type ipv4_addr; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags interval; elements = { 192.0.2.0/25, 192.0.2.200, 192.0.2.210-192.0.2.219 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 192.0.2.0/25, 192.0.2.200,\n\t\t\t     192.0.2.210-192.0.2.219 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags interval; auto-merge; elements = { 192.0.2.0/25, 192.0.2.128/25, 192.0.3.0-192.0.3.9 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n\t\telements = { 192.0.2.0-192.0.3.9 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 192.0.2.0/25 }; }\n}\n", "error 2:54-65: conflicting intervals specified"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; elements = { 192.0.2.0/24 }; }\n}\n", "error 2:38-49: You must add 'flags interval' to your set declaration if you want to add prefix elements"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.1 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type inet_service; flags interval; elements = { 1-5, 7, 9-65535 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype inet_service\n\t\tflags interval\n\t\telements = { 1-5, 7, 9-65535 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ifname; flags interval; elements = { \"eth0\", \"wg*\" }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ifname\n\t\tflags interval\n\t\telements = { \"eth0\",\n\t\t\t     \"wg*\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; timeout 1h30m; elements = { 192.0.2.1, 192.0.2.2 timeout 5s comment \"short\" }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\ttimeout 1h30m\n\t\telements = { 192.0.2.1, 192.0.2.2 timeout 5s comment \"short\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags timeout; gc-interval 20s; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\tgc-interval 20s\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; gc-interval 20s; }\n}\n", "error 2:5-5: Could not process rule: Invalid argument"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags dynamic,timeout; size 100; timeout 1m; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tsize 100\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags dynamic,interval; }\n}\n", "error 2:5-5: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags constant,timeout; }\n}\n", "error 2:5-5: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags constant; size 7; policy memory; elements = { 192.0.2.1 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags constant\n\t\telements = { 192.0.2.1 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags constant,dynamic; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags constant,dynamic\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; auto-merge; }\n}\n", "error 2:5-5: auto-merge only works with interval sets"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; policy memory; comment \"kept small\"; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tpolicy memory\n\t\tcomment \"kept small\"\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; counter; elements = { 192.0.2.1 counter packets 5 bytes 10 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tcounter\n\t\telements = { 192.0.2.1 counter }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; elements = { 192.0.2.1 counter }; }\n}\n", "error 2:48-54: missing statement in set declaration"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; limit rate 3/second counter; elements = { 192.0.2.1 limit rate 3/second }; }\n}\n", "error 2:67-75: number of statements mismatch, set expects 2 but element has 1"),
        DeclarationRow("table inet t {\nset s { typeof ip saddr . tcp dport; elements = { 192.0.2.1 . 22 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttypeof ip saddr . tcp dport\n\t\telements = { 192.0.2.1 . 22 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { typeof meta iifname . ip saddr . ether saddr; }\n}\n", "table inet t {\n\tset s {\n\t\ttypeof iifname . ip saddr . ether saddr\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr . inet_service . ifname; flags interval; elements = { 192.0.2.0/24 . 1-5 . \"eth0\" }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ipv4_addr . inet_service . ifname\n\t\tflags interval\n\t\telements = { 192.0.2.0/24 . 1-5 . \"eth0\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { typeof vlan id; elements = { 4, 9 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttypeof vlan id\n\t\telements = { 4, 9 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { typeof tcp option maxseg size; elements = { 1400 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttypeof tcp option maxseg size\n\t\telements = { 1400 }\n\t}\n}\n"),
        DeclarationRow("table arp t {\nset s { typeof arp operation; elements = { request }; }\n}\n", "table arp t {\n\tset s {\n\t\ttypeof arp operation\n\t\telements = { request }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type nosuch; }\n}\n", "error 2:14-19: unknown datatype nosuch"),
        DeclarationRow("table inet t {\nset s { flags interval; }\n}\n", "error 2:5-5: set definition does not specify key"),
        DeclarationRow("table inet t {\nset s { type ipv4_addr; flags nosuch; }\n}\n", "error 2:31-36: syntax error, unexpected string, expecting constant or interval or dynamic or timeout"),
        DeclarationRow("table inet t {\nset s { type ct_state; elements = { new, established, established | related }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ct_state\n\t\telements = { established, established | related,\n\t\t\t     new }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type icmp_type; elements = { echo-request, echo-reply }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype icmp_type\n\t\telements = { echo-reply,\n\t\t\t     echo-request }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type mark; elements = { 1, 2, 3, 4, 5, 6 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype mark\n\t\telements = { 0x00000001, 0x00000002, 0x00000003, 0x00000004, 0x00000005,\n\t\t\t     0x00000006 }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nset s { type ether_addr; elements = { 02:00:00:00:00:01, 02:00:00:00:00:02 }; }\n}\n", "table inet t {\n\tset s {\n\t\ttype ether_addr\n\t\telements = { 02:00:00:00:00:01,\n\t\t\t     02:00:00:00:00:02 }\n\t}\n}\n"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
