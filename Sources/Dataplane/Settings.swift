// From the configuration's words to the parts' own settings.
import Configuration
import Conntrack
import SlowPath

extension TrackerConfiguration {
    mutating func apply(_ configuration: Configuration.Conntrack) {
        maximumConnections = configuration.max
        verifiesChecksums = configuration.checksum
        tcpLoose = configuration.tcpLoose
        tcpLiberal = configuration.tcpWindow == .liberal
        let seconds = configuration.timeout
        timeouts.tcpSynSent = UInt32(seconds.tcpSynSent)
        timeouts.tcpSynSent2 = UInt32(seconds.tcpSynSent)
        timeouts.tcpSynReceived = UInt32(seconds.tcpSynRecv)
        timeouts.tcpEstablished = UInt32(seconds.tcpEstablished)
        timeouts.tcpFinWait = UInt32(seconds.tcpFinWait)
        timeouts.tcpCloseWait = UInt32(seconds.tcpCloseWait)
        timeouts.tcpLastAck = UInt32(seconds.tcpLastAck)
        timeouts.tcpTimeWait = UInt32(seconds.tcpTimeWait)
        timeouts.tcpClose = UInt32(seconds.tcpClose)
        timeouts.tcpRetransmission = UInt32(seconds.tcpMaxRetrans)
        timeouts.tcpUnacknowledged = UInt32(seconds.tcpUnacknowledged)
        timeouts.udp = UInt32(seconds.udp)
        timeouts.udpStream = UInt32(seconds.udpStream)
        timeouts.icmp = UInt32(seconds.icmp)
        timeouts.icmpv6 = UInt32(seconds.icmpv6)
        timeouts.generic = UInt32(seconds.generic)
    }
}

extension SlowPathSettings {
    init(_ configuration: Configuration) {
        self.init()
        cachesFlows = configuration.flowCache.mode != .off
        cachesOnlyFlowtables = configuration.flowCache.mode == .flowtable
        isTCPLiberal = configuration.conntrack.tcpWindow == .liberal
        verifiesChecksums = configuration.conntrack.checksum
        icmpErrorsPerSecond = configuration.icmp.rate
        icmpErrorBurst = configuration.icmp.burst
        pendingPackets = max(16, configuration.neighbours.pendingKB * 1024 / PendingPackets.bytesPerPacket)
        // A sweep's share of a second, as packets: what `minimum-rate` asks, and no fewer than `minimum-packets`.
        offloadThreshold = configuration.offload.tier == .none ? 0
            : UInt64(max(1, min(configuration.offload.minimumPackets, configuration.offload.minimumRate / 10)))
    }
}
