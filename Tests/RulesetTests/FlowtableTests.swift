// Flowtables.
import Testing

@testable import Ruleset

@Suite struct FlowtableTests {
    static let rows: [DeclarationRow] = [
        DeclarationRow("table inet t {\nflowtable f { hook ingress priority 0; devices = { lo }; }\n}\n", "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter\n\t\tdevices = { \"lo\" }\n\t}\n}\n"),
        DeclarationRow("table inet t {\nflowtable f { hook ingress priority filter + 5; devices = { lo }; counter; }\n}\n", "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter + 5\n\t\tdevices = { \"lo\" }\n\t\tcounter\n\t}\n}\n", losesInJSON: true),
        DeclarationRow("table inet t {\nflowtable f { hook ingress priority -10; }\n}\n", "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter - 10\n\t}\n}\n"),
        DeclarationRow("table inet t {\nflowtable f { hook ingress priority 0; devices = { lo }; }\nchain c { meta l4proto tcp flow add @f\n }\n}\n", "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter\n\t\tdevices = { \"lo\" }\n\t}\n\n\tchain c {\n\t\tmeta l4proto tcp flow add @f\n\t}\n}\n"),
        DeclarationRow("table inet t {\nflowtable f { hook ingress priority 0; devices = { lo }; }\nchain c { flow offload @f\n }\n}\n", "table inet t {\n\tflowtable f {\n\t\thook ingress priority filter\n\t\tdevices = { \"lo\" }\n\t}\n\n\tchain c {\n\t\tflow add @f\n\t}\n}\n"),
        DeclarationRow("table inet t {\nchain c { flow add @f\n }\n}\n", "error 2:11-21: Could not process rule: No such file or directory"),
    ]

    @Test(arguments: rows) func row(_ row: DeclarationRow) { row.check() }
}
