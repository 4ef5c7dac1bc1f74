// What goes in, and what is listed: the canonical form, and that listing is a fixed point.
import Testing
@testable import Ruleset

/// Loads one rule in a chain of a table; the listed rule, or the first message.
func listed(_ rule: String, family: String = "ip", declarations: String = "", numericProtocol: Bool = false) -> String {
    let text = "table \(family) t {\n\(declarations)\nchain c {\n\(rule)\n}\n}\n"
    let result = RulesetValue().applying(text: text)
    if let first = result.diagnostics.first { return "error: " + first.message }
    var options = PrintOptions()
    options.stateless = true
    options.numericProtocol = numericProtocol
    guard let table = result.value.tables.first, let chain = table.chain("c"), let rule = chain.rules.first else { return "nothing" }
    return Printer(options: options).rule(rule, in: table, depth: 2)
}

@Suite struct ListingTests {
    @Test(arguments: [
        ("ip", "ip saddr 10.1.2.3 accept", "ip saddr 10.1.2.3 accept"),
        ("ip", "ip saddr 10.1.2.3/8 drop", "ip saddr 10.0.0.0/8 drop"),
        ("ip", "ip protocol tcp tcp dport ssh", "tcp dport 22"),
        ("inet", "ip protocol tcp tcp dport ssh", "ip protocol tcp tcp dport 22"),
        ("inet", "meta nfproto ipv4 ip daddr 1.1.1.1", "ip daddr 1.1.1.1"),
        ("ip", "tcp dport { 90, 22, 80-85 }", "tcp dport { 22, 80-85, 90 }"),
        ("ip", "tcp dport { 22 }", "tcp dport 22"),
        ("ip", "tcp dport 2 tcp sport 1", "tcp sport 1 tcp dport 2"),
        ("ip", "ct state new,established", "ct state established,new"),
        ("ip", "tcp flags syn / syn,ack", "tcp flags & (syn | ack) == syn"),
        ("ip", "meta mark xor 3 == 1", "meta mark 0x00000002"),
        ("ip", "meta mark set 0x10 or 0x3", "meta mark set 0x00000013"),
        ("ip", "icmp id 7", "icmp type { echo-reply, echo-request } icmp id 7"),
        ("ip", "limit rate 3/second", "limit rate 3/second burst 5 packets"),
        ("ip", "limit rate 10mbytes/second burst 1kbytes", "limit rate 10 mbytes/second burst 1 kbytes"),
        ("ip", "limit rate 10 mbytes/second", "limit rate 10 mbytes/second"),
        ("ip", "log prefix \"a b \" level info flags tcp options", "log prefix \"a b \" level info flags tcp options"),
        ("ip", "reject with icmp port-unreachable", "reject"),
        ("inet", "reject with icmpx no-route", "reject with icmpx no-route"),
        ("ip", "counter comment \"x\"", "counter comment \"x\""),
        ("ip6", "ip6 saddr fe80:0::1", "ip6 saddr fe80::1"),
        ("ip", "queue num 3 bypass", "queue flags bypass to 3"),
        ("ip", "fib daddr oif exists", "fib daddr check exists"),
    ])
    func rule(family: String, rule: String, expected: String) {
        #expect(listed(rule, family: family) == expected)
    }

    @Test func listingIsAFixedPoint() {
        let text = """
        table inet f {
        \tset s {
        \t\ttype ipv4_addr
        \t\tflags interval
        \t\telements = { 10.0.0.0/8, 192.168.1.1-192.168.1.9 }
        \t}

        \tmap m {
        \t\ttype inet_service : verdict
        \t\telements = { 22 : accept,
        \t\t\t     80 : jump web }
        \t}

        \tchain web {
        \t\tcounter packets 3 bytes 4 accept
        \t}

        \tchain in {
        \t\ttype filter hook input priority filter + 1; policy drop;
        \t\tct state vmap { invalid : drop, established : accept }
        \t\tip saddr @s tcp dport vmap @m
        \t}
        }

        """
        let first = RulesetValue().applying(text: text)
        #expect(first.diagnostics.isEmpty)
        var printer = Printer()
        printer.ruleset(first.value)
        #expect(printer.output == text)
    }
}
