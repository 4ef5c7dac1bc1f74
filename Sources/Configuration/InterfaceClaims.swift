// The names and addresses that interfaces of all kinds have taken so far: each may be given once.
//
// Invariant: what was given first keeps its line, so that the message about the second one can name it.
import Wire

struct InterfaceClaims {
    /// How messages speak of one kind of interface.
    struct Kind {
        /// The table's key.
        var key: String
        /// What others like it are, and what itself is.
        var noun: String
        var itself: String

        static let port = Kind(key: "port", noun: "port", itself: "port")
        static let vlan = Kind(key: "vlan", noun: "interface", itself: "VLAN")
        static let session = Kind(key: "pppoe", noun: "interface", itself: "session")
    }

    private var names: [String: Int] = [:]
    private var addresses: [IPAddress: Int] = [:]

    mutating func take(name: String, _ kind: Kind, _ lines: Positions.KeyLines, _ problems: inout ProblemList) {
        guard !name.isEmpty else { return }
        guard let first = names[name] else { return names[name] = lines.line("name") }
        problems.add(lines.line("name"), "\(kind.key).name", "\"\(name)\" is the name of the \(kind.noun) in line \(first) as well; each \(kind.noun) needs a name of its own")
    }

    /// - Parameter mtu: the interface's, bytes.
    mutating func take(addresses prefixes: [IPPrefix], mtu: Int, _ kind: Kind, _ lines: Positions.KeyLines, _ problems: inout ProblemList) {
        for (index, prefix) in prefixes.enumerated() {
            let line = lines.line("addresses[\(index)]")
            if let first = addresses[prefix.address] {
                problems.add(line, "\(kind.key).addresses", "\(prefix.address) is given in line \(first) as well; each address belongs to one \(kind.noun)")
            } else {
                addresses[prefix.address] = line
            }
            if prefix.address.family == .ipv6, mtu < 1280 {
                problems.add(line, "\(kind.key).addresses", "\(prefix) is an IPv6 address, and the \(kind.itself)'s mtu is \(mtu); IPv6 needs at least 1280")
            }
        }
    }
}
