// What the parts have counted, put together for reports.
//
// Invariant: called by the thread that owns the slow path; the workers' blocks are read with relaxed loads.
import Configuration
import DPDK
import FlowCache
import Offload
import SlowPath
import Wire

extension Assembly {
    func summary(now: Timestamp) -> ForwardingSummary {
        var summary = ForwardingSummary()
        summary.ports = portReports()
        summary.interfaces = interfaceReports()
        summary.packetsIn = summary.ports.reduce(0) { $0 + $1.packetsIn }
        summary.packetsOut = summary.ports.reduce(0) { $0 + $1.packetsOut }
        for reason in DropReason.allCases where reason != .none {
            let dropped = path.pointee.statistics.dropped(reason) + statistics.reduce(0) { $0 + $1.value(drop: reason) }
            if dropped > 0 { summary.drops[reason.name] = dropped }
        }
        summary.offload = offloadReport()
        summary.flowCache = flowCacheReport(carried: summary.offload.carriedPackets)
        summary.connections.current = UInt64(path.pointee.tracker.pointee.count)
        summary.connections.max = UInt64(configuration.conntrack.max)
        summary.connections.created = path.pointee.tracker.pointee.statistics.inserted
        summary.connections.expired = path.pointee.tracker.pointee.statistics.expired
        summary.nat = natReport()
        summary.counters = ruleset.counterReports(now: now)
        return summary
    }

    func portReports() -> [PortReport] {
        ports.enumerated().map { place, port in
            var report = PortReport()
            report.name = port.configuration.name
            report.device = port.configuration.device
            report.mac = "\(port.address)"
            report.addresses = path.pointee.router.interfaces.addresses.filter { $0.port == PortIndex(place) }.map { "\($0.prefix)" }
            report.mtu = Int(path.pointee.router.interfaces[PortIndex(place)].mtu)
            report.linkUp = port.device.link.isUp
            for block in statistics {
                let counts = block.value(port: PortIndex(place))
                report.packetsIn += counts.receivedPackets
                report.bytesIn += counts.receivedBytes
                report.packetsOut += counts.transmittedPackets
                report.bytesOut += counts.transmittedBytes
            }
            let device = port.device.statistics
            report.missed = device.receiveMissed + device.receiveNoBuffer
            report.errors = device.receiveErrors + device.sendErrors
            return report
        }
    }

    /// Ports, VLANs and PPPoE sessions, in the order in which rules number them. A frame counts for its interface and for all below it.
    func interfaceReports() -> [InterfaceReport] {
        var reports = (0 ..< ports.count + configuration.vlans.count + configuration.sessions.count).map { number -> InterfaceReport in
            var report = InterfaceReport()
            let known = path.pointee.router.interfaces[PortIndex(number)]
            report.mtu = Int(known.mtu)
            for block in statistics { report.add(block.value(port: PortIndex(number))) }
            return report
        }
        for (place, port) in ports.enumerated() {
            reports[place].name = port.configuration.name
            reports[place].addresses = port.configuration.addresses.map { "\($0)" }
        }
        for (place, vlan) in configuration.vlans.enumerated() {
            let number = ports.count + place
            reports[number].kind = .vlan
            reports[number].name = vlan.name
            reports[number].on = vlan.port
            reports[number].tag = "\(vlan.tag.rawValue) \(vlan.id)"
            reports[number].addresses = vlan.addresses.map { "\($0)" }
        }
        for (place, session) in configuration.sessions.enumerated() {
            let number = ports.count + configuration.vlans.count + place
            reports[number].kind = .pppoe
            reports[number].name = session.name
            reports[number].on = session.port
            reports[number].session = session.session
            reports[number].addresses = session.addresses.map { "\($0)" }
        }
        // The innermost interface has counted: what is below it has carried the frame as well. (A port counts all of its frames itself.)
        let own = reports
        for report in own {
            var below = report.on.flatMap { configuration.interfaceIndex(named: $0) }
            while let number = below, number >= ports.count {
                reports[number].add(report)
                below = own[number].on.flatMap { configuration.interfaceIndex(named: $0) }
            }
        }
        return reports
    }

    private func natReport() -> NATReport {
        var report = NATReport()
        let counts = path.pointee.tracker.pointee.statistics.steering
        report.portsKept = counts.kept
        report.portsMoved = counts.moved
        report.portsFixed = counts.fixed
        report.portsExhausted = counts.exhausted
        report.spreadUnknown = counts.unknown
        report.directionsTogether = path.pointee.statistics.directionsTogether
        report.directionsApart = path.pointee.statistics.directionsApart
        return report
    }

    private func flowCacheReport(carried: UInt64) -> FlowCacheReport {
        var report = FlowCacheReport()
        report.mode = configuration.flowCache.mode.rawValue
        let cache = path.pointee.flows.pointee.statistics
        report.entries = UInt64(cache.ipv4Entries + cache.ipv6Entries)
        report.capacity = UInt64(cache.ipv4Capacity + cache.ipv6Capacity)
        report.inserted = cache.inserted
        report.removed = cache.removed
        report.resizes = cache.resizes
        report.handovers = cache.handovers
        report.softwareHits = statistics.reduce(0) { $0 + $1.value(.hits) }
        report.hardwareHits = carried
        let slow = path.pointee.statistics.establishedPackets
        report.establishedPackets = slow + report.softwareHits + report.hardwareHits
        report.hitRate = report.establishedPackets == 0 ? 0 : Double(report.softwareHits + report.hardwareHits) / Double(report.establishedPackets)
        let misses = statistics.reduce(0) { $0 + $1.value(.misses) }
        if misses > 0 { report.punts["miss"] = misses }
        for reason in FlowGuardReason.allCases {
            let count = statistics.reduce(0) { $0 + $1.value(guard: reason) }
            if count > 0 { report.punts[reason.name] = count }
        }
        return report
    }

    func offloadReport() -> OffloadReport {
        var report = OffloadReport()
        guard let manager else { return report }
        let summary = manager.summary
        report.active = UInt64(summary.active)
        report.pending = UInt64(summary.pending)
        report.zombies = UInt64(summary.zombies)
        report.offered = summary.offered
        report.installed = summary.installed
        report.removed = summary.removed
        for (refusal, count) in summary.refused { report.refused[refusal.text] = count }
        report.failures = summary.failures
        for port in summary.ports {
            var line = OffloadReport.Port()
            line.name = port.name
            line.front = port.front
            line.tier = port.tier.name
            line.capability = port.capability
            line.rules = UInt64(port.rules)
            line.carriedPackets = port.carriedPackets
            line.carriedBytes = port.carriedBytes
            report.ports.append(line)
            report.carriedPackets += port.carriedPackets
            report.carriedBytes += port.carriedBytes
        }
        return report
    }
}
