// What must hold among PPPoE sessions, and between them and the interfaces below them.
//
// Invariant: after the checks each session stands on a port or on a VLAN of a port, and a frame goes to one interface.
import Wire

extension Configuration {
    /// Largest IP packet of the interface below a session; nil if there is none of that name, or frames there carry two tags.
    public func lowerMTU(of session: PPPoESession) -> Int? {
        if let port = portIndex(named: session.port) { return ports[port].mtu }
        guard let vlan = vlans.first(where: { $0.name == session.port }), portIndex(named: vlan.port) != nil else { return nil }
        return effectiveMTU(of: vlan)
    }

    /// Largest IP packet of the session, bytes.
    public func effectiveMTU(of session: PPPoESession) -> Int {
        session.mtu == 0 ? min(1492, (lowerMTU(of: session) ?? 1500) - 8) : session.mtu
    }

    func checkSessions(_ positions: Positions, _ claims: inout InterfaceClaims, _ problems: inout ProblemList) {
        var places: [Place: Int] = [:]
        for (session, lines) in zip(sessions, positions.sessions) {
            claims.take(name: session.name, .session, lines, &problems)
            checkLower(session, lines, &problems)
            if session.session != 0, !session.port.isEmpty {
                let place = Place(port: session.port, session: session.session)
                if let first = places[place] {
                    problems.add(lines.line("session"), "pppoe.session", "session \(session.session) on \"\(session.port)\" is given in line \(first) as well; a frame goes to one interface")
                } else {
                    places[place] = lines.line("session")
                }
            }
            claims.take(addresses: session.addresses, mtu: effectiveMTU(of: session), .session, lines, &problems)
        }
    }

    private func checkLower(_ session: PPPoESession, _ lines: Positions.KeyLines, _ problems: inout ProblemList) {
        guard !session.port.isEmpty else { return }
        if let lower = lowerMTU(of: session) {
            guard session.mtu != 0 else { return }
            if session.mtu < 576 {
                problems.add(lines.line("mtu"), "pppoe.mtu", "\(session.mtu) is not allowed; must be 0 or at least 576")
            } else if session.mtu > lower - 8 {
                problems.add(lines.line("mtu"), "pppoe.mtu", "\(session.mtu) is more than the \(lower) of \"\(session.port)\" below less 8 for the session's header; must be 0 or at most \(lower - 8)")
            }
        } else if vlans.contains(where: { $0.name == session.port }) {
            problems.add(lines.line("port"), "pppoe.port", "\"\(session.port)\" is a VLAN on a VLAN; a frame carries one tag before a session header at most")
        } else {
            problems.add(lines.line("port"), "pppoe.port", unknownPort(session.port, allowed: ports.map(\.name) + vlans.filter { portIndex(named: $0.port) != nil }.map(\.name)))
        }
    }

    private struct Place: Hashable {
        var port: String
        var session: Int
    }
}
