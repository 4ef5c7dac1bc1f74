// How a configuration names a device: a PCI address or a virtual device, each with arguments.

/// A device string, split: "net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap" or "0000:01:00.0,dv_flow_en=1".
public struct PortDevice: Sendable, Equatable {
    public enum Bus: Sendable { case pci, virtual }
    public let text: String
    /// The part before the first comma: what DPDK calls the device.
    public let name: String
    /// Everything behind it.
    public let arguments: String
    public let bus: Bus

    /// - Throws: `DPDKError` (.configuration) if it is neither.
    public init(_ text: String) throws {
        self.text = text
        let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
        name = parts.first.map(String.init) ?? ""
        arguments = parts.count > 1 ? String(parts[1]) : ""
        if PortDevice.isPCIAddress(name) {
            bus = .pci
        } else if name.hasPrefix("net_") || name.hasPrefix("eth_"), name.count <= 32, name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-") }) {
            bus = .virtual
        } else {
            throw DPDKError(.configuration, "'\(text)' is not a device", advice: "write a PCI address such as 0000:01:00.0, or a virtual device such as net_af_packet0,iface=eth0 or net_pcap0,rx_pcap=in.pcap,tx_pcap=out.pcap")
        }
    }

    func requirePCI() throws {
        guard bus == .pci else { throw DPDKError(.configuration, "'\(text)' is not a PCI address", advice: "write it as 0000:01:00.0") }
    }

    /// "0000:01:00.0" or "01:00.0".
    static func isPCIAddress(_ text: String) -> Bool {
        var parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 3 {
            guard (1 ... 8).contains(parts[0].count), UInt32(parts[0], radix: 16) != nil else { return false }
            parts.removeFirst()
        }
        guard parts.count == 2, parts[0].count == 2, UInt8(parts[0], radix: 16) != nil else { return false }
        let function = parts[1].split(separator: ".", omittingEmptySubsequences: false)
        guard function.count == 2, function[0].count == 2, let device = UInt8(function[0], radix: 16), device < 32 else { return false }
        return function[1].count == 1 && (UInt8(function[1]).map { $0 < 8 } ?? false)
    }
}
