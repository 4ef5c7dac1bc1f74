// Comments, separators, continued lines, quotes, numbers and times.
import Testing

@testable import Ruleset

@Suite struct LexicalTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("# nothing\ntable ip t { # here\n chain c { # there\n accept # why\n }\n}\n", "table ip t {\n\tchain c {\n\t\taccept\n\t}\n}\n"),
        DeclarationRow("table ip t{chain c{tcp dport 22 accept;}}\n", "error 1:41-41: syntax error, unexpected '}', expecting newline or semicolon"),
        DeclarationRow("table ip t {\n chain c {\n tcp dport {\n 22,\n 80,\n } accept\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport { 22, 80 } accept\n\t}\n}\n"),
        DeclarationRow("table ip t {\n chain c {\n tcp \\\n dport \\\n 22 accept\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport 22 accept\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { tcp dport 0x16; tcp sport 010\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport 22\n\t\ttcp sport 8\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { ct expiration 1d2h3m4s\n }\n}\n", "table ip t {\n\tchain c {\n\t\tct expiration 1d2h3m4s\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { accept } }\n", "error 1:31-31: syntax error, unexpected '}', expecting newline or semicolon"),
        DeclarationRow("table ip t { chain c { accept; } chain d { drop\n }\n}\n", "error 1:34-38: syntax error, unexpected chain"),
        DeclarationRow("table ip t { chain fwd { }\n}\n", "error 1:20-22: syntax error, unexpected fwd, expecting string"),
        DeclarationRow("table ip t { chain \"fwd\" { }\n}\n", "error 1:20-24: syntax error, unexpected quoted string, expecting string"),
        DeclarationRow("table ip t { chain c { log prefix \"a # b\"\n }\n}\n", "table ip t {\n\tchain c {\n\t\tlog prefix \"a # b\"\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { log prefix \"open\n", "error 1:35-35: syntax error, unexpected junk, expecting string"),
        DeclarationRow("table ip t {\n", "error 2:1-1: syntax error, unexpected end of file"),
        DeclarationRow("}\n", "error 1:1-1: syntax error, unexpected '}'"),
        DeclarationRow("table ip t { chain c { accept comment \"why not\"\n }\n}\n", "table ip t {\n\tchain c {\n\t\taccept comment \"why not\"\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { comment \"x\" accept\n }\n}\n", "error 1:36-41: syntax error, unexpected accept"),
        DeclarationRow("add table ip t; add chain ip t c; add rule ip t c accept\n", "table ip t {\n\tchain c {\n\t\taccept\n\t}\n}\n"),
        DeclarationRow("define a = 22\ntable ip t { chain c { tcp dport $a\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport 22\n\t}\n}\n"),
        DeclarationRow("define a = { 22, 80 }\ntable ip t { chain c { tcp dport $a\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport { 22, 80 }\n\t}\n}\n"),
        DeclarationRow("define a = { 22, 80 }\ntable ip t { chain c { tcp dport { $a, 443 }\n }\n}\n", "table ip t {\n\tchain c {\n\t\ttcp dport { 22, 80, 443 }\n\t}\n}\n"),
        DeclarationRow("define net = 192.0.2.0/24\ndefine nets = { $net, 198.51.100.0/24 }\ntable ip t { set s { type ipv4_addr; flags interval; elements = $nets\n }\n}\n", "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 192.0.2.0/24, 198.51.100.0/24 }\n\t}\n}\n"),
        DeclarationRow("table ip t { define a = 5\n chain c { meta mark $a\n }\n}\n", "table ip t {\n\tchain c {\n\t\tmeta mark 0x00000005\n\t}\n}\n"),
        DeclarationRow("table ip t { define a = 5\n }\ntable ip u { chain c { meta mark $a\n }\n}\n", "error 3:35-35: unknown identifier 'a'"),
        DeclarationRow("define a = 1\nredefine a = 2\ntable ip t { chain c { meta mark $a\n }\n}\n", "table ip t {\n\tchain c {\n\t\tmeta mark 0x00000002\n\t}\n}\n"),
        DeclarationRow("define a = 1\ndefine a = 2\n", "error 2:8-8: redefinition of symbol 'a'"),
        DeclarationRow("define a = 1\nundefine a\ntable ip t { chain c { meta mark $a\n }\n}\n", "error 3:35-35: unknown identifier 'a'"),
        DeclarationRow("define target = c\ntable ip t { chain c { } chain d { jump $target\n }\n}\n", "error 2:26-30: syntax error, unexpected chain"),
        DeclarationRow("define p = 10\ndefine dev = lo\ntable netdev t { chain c { type filter hook ingress device $dev priority $p\n }\n}\n", "table netdev t {\n\tchain c {\n\t\ttype filter hook ingress device \"lo\" priority filter + 10; policy accept;\n\t}\n}\n"),
        DeclarationRow("define pre = \"in \"\ntable ip t { chain c { log prefix \"$pre x\"\n }\n}\n", "table ip t {\n\tchain c {\n\t\tlog prefix \"in  x\"\n\t}\n}\n"),
        DeclarationRow("table ip t { chain c { tcp dport $missing\n }\n}\n", "error 1:35-41: syntax error, unexpected missing, expecting string"),
        DeclarationRow("define long = 1\ntable ip t { chain c { tcp dport $lonh\n }\n}\n", "error 2:35-38: unknown identifier 'lonh'; did you mean identifier 'long'?"),
        DeclarationRow("define w = \"eth*\"\ntable ip t { chain c { iifname $w\n }\n}\n", "table ip t {\n\tchain c {\n\t\tiifname \"eth*\"\n\t}\n}\n"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
