// Tables with their flags, base chains with types, hooks, priorities, devices and policies.
import Testing

@testable import Ruleset

@Suite struct TableChainTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("table ip t\n", "table ip t {\n}\n"),
        DeclarationRow("table t { }\n", "table ip t {\n}\n"),
        DeclarationRow("table inet t { flags dormant; }\n", "table inet t {\n\tflags dormant\n}\n"),
        DeclarationRow("table inet t { comment \"mine\"; }\n", "table inet t {\n\tcomment \"mine\"\n}\n"),
        DeclarationRow("table foo t { }\n", "error 1:11-11: syntax error, unexpected string"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority 0; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook forward priority filter; policy drop; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook output priority mangle + 3; policy accept; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook output priority mangle + 3; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook prerouting priority raw - 5; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook prerouting priority raw - 5; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority security; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook input priority security; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type nat hook prerouting priority dstnat; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type nat hook postrouting priority srcnat + 1; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype nat hook postrouting priority srcnat + 1; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type nat hook output priority -100; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype nat hook output priority dstnat; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type nat hook input priority 100; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype nat hook input priority srcnat; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type route hook output priority mangle; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype route hook output priority mangle; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority 11; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook input priority 11; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority -310; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook input priority raw - 10; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type nat hook forward priority 0; }\n}\n", "error 2:7-7: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nchain c { type nat hook prerouting priority -250; }\n}\n", "error 2:7-7: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nchain c { type route hook input priority 0; }\n}\n", "error 2:7-7: Could not process rule: Operation not supported"),
        DeclarationRow("table inet t {\nchain c { type nosuch hook input priority 0; }\n}\n", "error 2:16-21: unknown chain type"),
        DeclarationRow("table inet t {\nchain c { type filter hook nosuch priority 0; }\n}\n", "error 2:28-33: unknown chain hook"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority 0; policy nosuch; }\n}\n", "error 2:53-58: syntax error, unexpected string, expecting accept or drop or '$'"),
        DeclarationRow("table inet t {\nchain c { type filter hook input priority 0; comment \"first\"; }\n}\n", "table inet t {\n\tchain c {\n\t\tcomment \"first\"\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table netdev t {\nchain c { type filter hook ingress device lo priority 0; }\n}\n", "table netdev t {\n\tchain c {\n\t\ttype filter hook ingress device \"lo\" priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table netdev t {\nchain c { type filter hook egress device \"lo\" priority filter - 1; policy drop; }\n}\n", "table netdev t {\n\tchain c {\n\t\ttype filter hook egress device \"lo\" priority filter - 1; policy drop;\n\t}\n}\n"),
        DeclarationRow("table netdev t {\nchain c { type filter hook ingress priority 0; }\n}\n", "table netdev t {\n\tchain c {\n\t\ttype filter hook ingress priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { type filter hook ingress device lo priority 0; }\n}\n", "table inet t {\n\tchain c {\n\t\ttype filter hook ingress device \"lo\" priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table bridge t {\nchain c { type filter hook prerouting priority dstnat; }\n}\n", "table bridge t {\n\tchain c {\n\t\ttype filter hook prerouting priority dstnat; policy accept;\n\t}\n}\n"),
        DeclarationRow("table bridge t {\nchain c { type filter hook output priority out; }\n}\n", "table bridge t {\n\tchain c {\n\t\ttype filter hook output priority out; policy accept;\n\t}\n}\n"),
        DeclarationRow("table bridge t {\nchain c { type filter hook postrouting priority srcnat; }\n}\n", "table bridge t {\n\tchain c {\n\t\ttype filter hook postrouting priority srcnat; policy accept;\n\t}\n}\n"),
        DeclarationRow("table arp t {\nchain c { type filter hook input priority 0; }\n}\n", "table arp t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"),
        DeclarationRow("table ip t { chain a { }\n chain b { jump a\n }\n}\n", "table ip t {\n\tchain a {\n\t}\n\n\tchain b {\n\t\tjump a\n\t}\n}\n"),
        // A loop is one as soon as a base chain leads there, as in Linux since 6.4.
        DeclarationRow("table ip t { chain a { jump b\n }\n chain b { jump a\n }\n}\n", "table ip t {\n\tchain a {\n\t\tjump b\n\t}\n\n\tchain b {\n\t\tjump a\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { type filter hook input priority 0\n jump a\n }\n chain a { jump b\n }\n chain b { jump a\n }\n}\n", "error 6:12-17: Could not process rule: Too many links"),
        DeclarationRow("table ip t { chain a { jump a\n }\n chain c { type filter hook input priority 0\n jump a\n }\n}\n", "error 4:2-7: Could not process rule: Too many links"),
        DeclarationRow("table ip t { chain a { type filter hook input priority 0\n }\n chain b { jump a\n }\n}\n", "error 3:17-17: Could not process rule: Operation not supported"),
        DeclarationRow("table ip t { chain a { jump { tcp dport 22 accept\n counter drop\n }\n }\n}\n", "table ip t {\n\tchain a {\n\t\tjump {\n\t\t\ttcp dport 22 accept\n\t\t\tcounter drop\n\t\t}\n\t}\n}\n"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
