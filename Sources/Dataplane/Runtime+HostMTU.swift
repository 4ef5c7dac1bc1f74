// Ports over host interfaces (net_af_packet, net_tap) take no more than those do, and that may change while we run
// (`ip link set r1 mtu 1300`): looked at five times a second, off the packet path.
import Configuration
import Wire

extension Runtime {
    /// Ends when its task is cancelled; changes are made by the slow-path core.
    func followHostMTU() async {
        var known = configurationValue
        for place in known.ports.indices { known.ports[place].mtu = assembly.ports[place].configuration.mtu }
        while (try? await Task.sleep(for: .milliseconds(200))) != nil {
            for place in known.ports.indices {
                let configured = configurationValue.ports[place].mtu
                guard let below = assembly.ports[place].device.hostInterfaceMTU, min(below, configured) != known.ports[place].mtu else { continue }
                known.ports[place].mtu = min(below, configured)
                logger.notice("port \(known.ports[place].name): its mtu is \(known.ports[place].mtu) now, its interface takes \(below) bytes")
                let sizes = Runtime.mtus(of: known)
                await perform { core in
                    core.path.pointee.changeRouter { router in
                        for (port, mtu) in sizes { router.interfaces.setMTU(mtu, port: port) }
                    }
                }
            }
        }
    }

    /// Of every interface: ports, VLANs, sessions.
    private static func mtus(of configuration: Configuration) -> [(PortIndex, UInt32)] {
        var sizes = configuration.ports.map(\.mtu)
        sizes += configuration.vlans.map { configuration.effectiveMTU(of: $0) }
        sizes += configuration.sessions.map { configuration.effectiveMTU(of: $0) }
        return sizes.enumerated().map { (PortIndex($0), UInt32($1)) }
    }
}
