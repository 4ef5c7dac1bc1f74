// What of a configuration a running router can take over, and what needs a new start.
//
// Invariant: a key that is not named here needs a restart, so that a new key is never half in force.

extension Configuration {
    /// What differs from the running configuration and is not the interfaces' addresses, `[routing]` or `[ruleset]`: a line a difference, as
    /// `[worker] burst = 64` or, where a whole table came or went, `no [[port]] name = "wan"`. Empty: all can be taken over.
    public func needsRestart(running: Configuration) -> [String] {
        func fixed(_ configuration: Configuration) -> [String] {
            var rest = configuration
            rest.routing = Routing()
            rest.routing.multipathHash = configuration.routing.multipathHash
            rest.ruleset = RulesetSource()
            for place in rest.ports.indices { rest.ports[place].addresses = [] }
            for place in rest.vlans.indices { rest.vlans[place].addresses = [] }
            for place in rest.sessions.indices { rest.sessions[place].addresses = [] }
            var section = ""
            return rest.toml.split(separator: "\n").compactMap { line in
                if line.hasPrefix("[") {
                    section = String(line) + " "
                    return nil
                }
                return section + line
            }
        }
        var gone: [String] = [], come: [String] = []
        for change in fixed(self).difference(from: fixed(running)) {
            switch change {
            case .insert(_, let line, _): come.append(line)
            case .remove(_, let line, _): gone.append(line)
            }
        }
        func key(_ line: String) -> Substring { line.prefix { $0 != "=" } }
        // A key with another value is said once, with the new one.
        return come + gone.filter { line in !come.contains { key($0) == key(line) } }.map { "no " + $0 }
    }
}
