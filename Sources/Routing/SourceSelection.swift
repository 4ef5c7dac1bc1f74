// Which of our addresses a packet of our own bears. IPv4: inet_select_addr; IPv6: RFC 6724 section 5, the rules that can
// differ here (same address, scope, outgoing port, longest common prefix; no temporary, deprecated or home addresses).
import Wire

extension Router {
    /// Source address for a packet to `destination` by `route`; nil if no port has an address of the family.
    public func sourceAddress(for route: RouteResult, to destination: IPAddress) -> IPAddress? {
        if !route.preferredSource.isUnspecified { return route.preferredSource }
        if destination.family == .ipv4 { return ipv4Source(port: route.port, near: route.isOnLink ? nil : route.nextHop) }
        return ipv6Source(port: route.port, destination: destination)
    }

    /// Source for an error about a packet, by the route back to the packet's sender (icmp_send, icmp6_send): the
    /// destination itself if it is ours, else for IPv4 the address that the route to the sender prefers, and for IPv6 one of
    /// the port that the packet came in by.
    /// - Parameter ingress: `Router.anyPort` if the packet came from nowhere.
    public func errorSource(aboutPacketTo destination: IPAddress, routeBack: RouteResult, to sender: IPAddress, ingress: PortIndex = Router.anyPort) -> IPAddress? {
        let own = interfaces.kind(of: destination)
        if own == .unicast || own == .anycast { return destination }
        if destination.family == .ipv6, interfaces[ingress].exists { return ipv6Source(port: ingress, destination: sender) }
        return sourceAddress(for: routeBack, to: sender)
    }

    /// Source for an ARP request or neighbour solicitation by `port` for `target`: the address whose subnet has the
    /// target, else the port's first. IPv6 prefers the link-local address.
    public func solicitationSource(port: PortIndex, target: IPAddress) -> IPAddress? {
        if target.family == .ipv4 { return ipv4Source(port: port, near: target) }
        let own = interfaces.addresses
        return (own.first { $0.port == port && $0.prefix.address.family == .ipv6 && $0.prefix.address.isLinkLocal }
            ?? own.first { $0.port == port && $0.prefix.contains(target) }
            ?? own.first { $0.port == port && $0.prefix.address.family == .ipv6 })?.prefix.address
    }

    private func ipv4Source(port: PortIndex, near: IPAddress?) -> IPAddress? {
        var first: IPAddress? = nil
        var elsewhere: IPAddress? = nil
        for entry in interfaces.addresses where entry.prefix.address.family == .ipv4 {
            guard entry.port == port else {
                if elsewhere == nil, !entry.isSecondary, !entry.prefix.address.isLinkLocal { elsewhere = entry.prefix.address }
                continue
            }
            if entry.isSecondary { continue }
            if let near {
                if entry.prefix.contains(near) { return entry.prefix.address }
                if first == nil { first = entry.prefix.address }
            } else {
                return entry.prefix.address
            }
        }
        return first ?? elsewhere
    }

    private func ipv6Source(port: PortIndex, destination: IPAddress) -> IPAddress? {
        func scope(_ address: IPAddress) -> Int {
            if address.isMulticast { return Int(address.high >> 48 & 15) }
            return address.isLinkLocal || address.isLoopback ? 2 : 14
        }
        var best: (address: IPAddress, port: PortIndex)? = nil
        let wanted = scope(destination)
        for entry in interfaces.addresses where entry.prefix.address.family == .ipv6 {
            let candidate = entry.prefix.address
            // Another port's link-local address means nothing on this link.
            if entry.port != port, candidate.isLinkLocal || wanted == 2 { continue }
            guard let current = best else {
                best = (candidate, entry.port)
                continue
            }
            if current.address == destination { break }
            if candidate == destination {
                best = (candidate, entry.port)
                continue
            }
            let (a, b) = (scope(candidate), scope(current.address))
            if a != b {
                // Rule 2: the smallest scope that is large enough.
                let better = a < b ? a >= wanted : b < wanted
                if better { best = (candidate, entry.port) }
                continue
            }
            if (entry.port == port) != (current.port == port) {
                if entry.port == port { best = (candidate, entry.port) }
                continue
            }
            if candidate.commonPrefixLength(with: destination) > current.address.commonPrefixLength(with: destination) { best = (candidate, entry.port) }
        }
        return best?.address
    }
}
