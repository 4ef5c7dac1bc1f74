// The summary in Prometheus' text format.
import Dataplane

extension ControlBackend {
    public func metrics() async -> String { Metrics.text(await summary(), uptime: await status().uptime) }
}

public enum Metrics {
    public static func text(_ summary: ForwardingSummary, uptime: Double) -> String {
        var page = Page()
        page.family("needletail_uptime_seconds", "gauge", "Seconds since the start.", [([:], "\(uptime)")])
        page.ports("received_packets_total", "Packets received.", summary.ports) { $0.packetsIn }
        page.ports("received_bytes_total", "Frame bytes received.", summary.ports) { $0.bytesIn }
        page.ports("sent_packets_total", "Packets sent.", summary.ports) { $0.packetsOut }
        page.ports("sent_bytes_total", "Frame bytes sent.", summary.ports) { $0.bytesOut }
        page.ports("missed_packets_total", "Packets that the device dropped for want of a buffer.", summary.ports) { $0.missed }
        page.interfaces("received_packets_total", "Packets received by VLANs and PPPoE sessions.", summary.interfaces) { $0.packetsIn }
        page.interfaces("received_bytes_total", "Frame bytes received by VLANs and PPPoE sessions.", summary.interfaces) { $0.bytesIn }
        page.interfaces("sent_packets_total", "Packets sent by VLANs and PPPoE sessions.", summary.interfaces) { $0.packetsOut }
        page.interfaces("sent_bytes_total", "Frame bytes sent by VLANs and PPPoE sessions.", summary.interfaces) { $0.bytesOut }
        page.counts("needletail_dropped_packets_total", "Packets dropped.", "reason", summary.drops)
        let cache = summary.flowCache
        page.family("needletail_flow_cache_entries", "gauge", "Entries in use.", [([:], "\(cache.entries)")])
        page.family("needletail_flow_cache_capacity", "gauge", "Room for entries.", [([:], "\(cache.capacity)")])
        page.family("needletail_established_packets_total", "counter", "Packets of established connections.", [([:], "\(cache.establishedPackets)")])
        page.family(
            "needletail_cache_hits_total", "counter", "Packets forwarded without the slow path.",
            [(["carrier": "software"], "\(cache.softwareHits)"), (["carrier": "hardware"], "\(cache.hardwareHits)")])
        page.counts("needletail_punted_packets_total", "Packets sent to the slow path.", "reason", cache.punts)
        page.family("needletail_cache_handovers_total", "counter", "Packets that found their entry to be another worker's.", [([:], "\(cache.handovers)")])
        let nat = summary.nat
        page.family(
            "needletail_nat_steering_total", "counter", "Source NAT on several workers: connections by what became of their port.",
            [(["result": "kept"], "\(nat.portsKept)"), (["result": "moved"], "\(nat.portsMoved)"), (["result": "fixed"], "\(nat.portsFixed)"),
             (["result": "exhausted"], "\(nat.portsExhausted)"), (["result": "unknown"], "\(nat.spreadUnknown)")])
        page.family(
            "needletail_cached_directions_total", "counter", "Second directions that came into the flow cache, by whether both are one worker's.",
            [(["workers": "same"], "\(nat.directionsTogether)"), (["workers": "different"], "\(nat.directionsApart)")])
        page.family("needletail_connections", "gauge", "Tracked connections.", [([:], "\(summary.connections.current)")])
        page.family("needletail_connections_max", "gauge", "Room for connections.", [([:], "\(summary.connections.max)")])
        page.family("needletail_connections_created_total", "counter", "Connections since the start.", [([:], "\(summary.connections.created)")])
        page.family("needletail_offloaded_flows", "gauge", "Flows that the NIC carries.", [([:], "\(summary.offload.active)")])
        page.family("needletail_offload_packets_total", "counter", "Packets that the NIC carried.", [([:], "\(summary.offload.carriedPackets)")])
        page.family("needletail_offload_bytes_total", "counter", "Bytes that the NIC carried.", [([:], "\(summary.offload.carriedBytes)")])
        let named = summary.counters.filter { $0.name != nil }
        page.family("needletail_counter_packets_total", "counter", "Named counters of the ruleset.", named.map { (["table": $0.table, "name": $0.name ?? ""], "\($0.packets)") })
        page.family("needletail_counter_bytes_total", "counter", "Named counters of the ruleset.", named.map { (["table": $0.table, "name": $0.name ?? ""], "\($0.bytes)") })
        return page.text
    }

    private struct Page {
        var text = ""

        mutating func family(_ name: String, _ type: String, _ help: String, _ samples: [(labels: [String: String], value: String)]) {
            guard !samples.isEmpty else { return }
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
            for sample in samples {
                let labels = sample.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(escape($0.value))\"" }.joined(separator: ",")
                text += name + (labels.isEmpty ? "" : "{\(labels)}") + " \(sample.value)\n"
            }
        }

        mutating func ports(_ name: String, _ help: String, _ ports: [PortReport], _ value: (PortReport) -> UInt64) {
            family("needletail_port_\(name)", "counter", help, ports.map { (["port": $0.name], "\(value($0))") })
        }

        /// Of those that are no ports.
        mutating func interfaces(_ name: String, _ help: String, _ interfaces: [InterfaceReport], _ value: (InterfaceReport) -> UInt64) {
            let samples = interfaces.filter { $0.kind != .port }.map { (["interface": $0.name, "kind": $0.kind.rawValue], "\(value($0))") }
            family("needletail_interface_\(name)", "counter", help, samples)
        }

        mutating func counts(_ name: String, _ help: String, _ label: String, _ counts: [String: UInt64]) {
            family(name, "counter", help, counts.sorted { $0.key < $1.key }.map { ([label: $0.key], "\($0.value)") })
        }

        private func escape(_ text: String) -> String {
            text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        }
    }
}
