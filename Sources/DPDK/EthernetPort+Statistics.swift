// A port's counters as the device keeps them.
import CDPDK

/// Totals since the start or the last reset. A device that does not count something reports 0.
public struct PortStatistics: Sendable, Equatable {
    public var receivedPackets: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var sentPackets: UInt64 = 0
    public var sentBytes: UInt64 = 0
    /// Dropped by the device since no descriptor was free: the workers are too slow.
    public var receiveMissed: UInt64 = 0
    public var receiveErrors: UInt64 = 0
    /// Dropped since the packet pool was empty.
    public var receiveNoBuffer: UInt64 = 0
    public var sendErrors: UInt64 = 0
    public init() {}
}

extension EthernetPort {
    /// The device's counters now; zeros if it does not answer.
    public var statistics: PortStatistics {
        var raw = rte_eth_stats()
        guard EAL.control({ rte_eth_stats_get(id, &raw) }) == 0 else { return PortStatistics() }
        var result = PortStatistics()
        result.receivedPackets = raw.ipackets
        result.receivedBytes = raw.ibytes
        result.sentPackets = raw.opackets
        result.sentBytes = raw.obytes
        result.receiveMissed = raw.imissed
        result.receiveErrors = raw.ierrors
        result.receiveNoBuffer = raw.rx_nombuf
        result.sendErrors = raw.oerrors
        return result
    }

    public func resetStatistics() { _ = EAL.control { rte_eth_stats_reset(id) } }

    /// Whether the device receives frames for other addresses.
    public var isPromiscuous: Bool { EAL.control { rte_eth_promiscuous_get(id) } == 1 }

    /// - Returns: false if the device cannot.
    @discardableResult public func setPromiscuous(_ on: Bool) -> Bool {
        EAL.control { on ? rte_eth_promiscuous_enable(id) : rte_eth_promiscuous_disable(id) } == 0
    }
}
