// The summary of a run or a replay as a person reads it.
import Dataplane

extension ForwardingSummary {
    var table: String {
        var out = "\(grouped(packetsIn)) packets in, \(grouped(packetsOut)) out; \(timeText(seconds)) of traffic in \(timeText(wallSeconds))\n\n"
        out += PortReport.table(ports)
        if interfaces.count > ports.count { out += "\n" + InterfaceReport.table(interfaces) }
        if !drops.isEmpty {
            var table = TextTable("not forwarded, by reason", ">packets")
            for (reason, count) in drops.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) { table.add(reason, grouped(count)) }
            out += "\n" + table.text
        }
        out += "\n" + flowCache.table(connections)
        if nat != NATReport() { out += "\n" + nat.table }
        out += "\n" + offload.table
        let counters = CounterReport.table(counters)
        return counters.isEmpty ? out : out + "\n" + counters
    }
}

extension PortReport {
    static func table(_ ports: [PortReport]) -> String {
        var table = TextTable("port", ">packets in", ">bytes in", ">packets out", ">bytes out", ">missed", ">errors")
        for port in ports {
            table.add(port.name, grouped(port.packetsIn), grouped(port.bytesIn), grouped(port.packetsOut), grouped(port.bytesOut), grouped(port.missed), grouped(port.errors))
        }
        return table.text
    }
}

extension InterfaceReport {
    static func table(_ interfaces: [InterfaceReport]) -> String {
        var table = TextTable("interface", "kind", "on", "tag or session", ">mtu", ">packets in", ">bytes in", ">packets out", ">bytes out", "addresses")
        for it in interfaces {
            table.add(
                it.name, it.kind.rawValue, it.on ?? "", it.tag ?? it.session.map { "\($0)" } ?? "", "\(it.mtu)", grouped(it.packetsIn), grouped(it.bytesIn), grouped(it.packetsOut),
                grouped(it.bytesOut), it.addresses.joined(separator: " "))
        }
        return table.text
    }
}

extension FlowCacheReport {
    func table(_ connections: ConnectionSummary) -> String {
        var table = TextTable("flows", ">")
        table.add("connections, now", grouped(connections.current))
        table.add("connections, since the start", grouped(connections.created))
        table.add("flow cache (\(mode)), entries now", grouped(entries))
        table.add("entries inserted", grouped(inserted))
        if handovers > 0 { table.add("entries wanted by another worker", grouped(handovers)) }
        table.add("packets of established connections", grouped(establishedPackets))
        table.add("  forwarded from the flow cache", grouped(softwareHits))
        table.add("  forwarded by the NIC", grouped(hardwareHits))
        table.add("  hit rate", percent(hitRate))
        for (reason, count) in punts.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) { table.add("sent to the slow path: \(reason)", grouped(count)) }
        return table.text
    }
}

extension NATReport {
    var table: String {
        var table = TextTable("workers and NAT", ">connections")
        table.add("source port kept, answers reach the same worker", grouped(portsKept))
        table.add("source port changed for that", grouped(portsMoved))
        table.add("source port may not change", grouped(portsFixed))
        table.add("no such port free", grouped(portsExhausted))
        table.add("port's RSS not known", grouped(spreadUnknown))
        table.add("cached with both directions on one worker", grouped(directionsTogether))
        table.add("cached with each direction on its own worker", grouped(directionsApart))
        return table.text
    }
}

extension OffloadReport {
    var table: String {
        var table = TextTable("offload", "by", "tier", ">rules", ">packets", ">bytes")
        for port in ports { table.add(port.name, port.front, port.tier, grouped(port.rules), grouped(port.carriedPackets), grouped(port.carriedBytes)) }
        var out = table.isEmpty ? "" : table.text
        out += "\(grouped(active)) flows in hardware now, \(grouped(installed)) installed, \(grouped(carriedPackets)) packets carried\n"
        if zombies > 0 { out += "\(grouped(zombies)) flows have a rule that the driver did not remove\n" }
        for (reason, count) in refused.sorted(by: { $0.key < $1.key }) { out += "not offloaded: \(reason): \(grouped(count))\n" }
        for (failure, count) in failures.sorted(by: { $0.key < $1.key }) { out += "driver failure: \(failure): \(grouped(count))\n" }
        return out
    }
}

extension CounterReport {
    static func table(_ counters: [CounterReport]) -> String {
        var table = TextTable("counter", ">packets", ">bytes")
        for counter in counters {
            let place = counter.name.map { "\(counter.table) \($0)" } ?? "\(counter.table) \(counter.chain ?? ""): \(counter.rule ?? "")"
            table.add(place, grouped(counter.packets), grouped(counter.bytes))
        }
        return table.isEmpty ? "" : table.text
    }
}
