// From the configuration's words to the parts' own settings.
import Configuration
import Conntrack
import DPDK
import SlowPath

extension TrackerConfiguration {
    mutating func apply(_ configuration: Configuration.Conntrack) {
        maximumConnections = configuration.max
        verifiesChecksums = configuration.checksum
        tcpLoose = configuration.tcpLoose
        accounting = configuration.accounting
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
        hashesPorts = configuration.routing.multipathHash == .ports
        icmpErrorsPerSecond = configuration.icmp.rate
        icmpErrorBurst = configuration.icmp.burst
        pendingPackets = max(16, configuration.neighbours.pendingKB * 1024 / PendingPackets.bytesPerPacket)
        if configuration.offload.tier != .none {
            offload = OffloadThreshold(packetsPerSecond: UInt32(configuration.offload.minimumRate), packets: UInt64(configuration.offload.minimumPackets))
        }
    }
}

extension PortSteering {
    /// nil: none.
    init?(_ ports: Configuration.SteeredPorts) {
        switch ports {
        case .auto: self = .auto
        case .all: self = .all
        case .off: return nil
        }
    }
}

extension ReceiveSpread {
    /// Queue `i` of each port is worker `i`'s.
    init?(_ hashing: ReceiveHashing) {
        var kinds: Kinds = []
        if hashing.ipv4TCP { kinds.insert(.ipv4TCP) }
        if hashing.ipv4UDP { kinds.insert(.ipv4UDP) }
        if hashing.ipv6TCP { kinds.insert(.ipv6TCP) }
        if hashing.ipv6UDP { kinds.insert(.ipv6UDP) }
        self.init(key: hashing.key, workers: hashing.queues, kinds: kinds)
    }
}

extension ReassemblyLimits {
    init(_ configuration: Configuration.Reassembly) {
        self.init()
        datagrams = configuration.datagrams
        fragments = configuration.datagrams * 8
        bytes = configuration.memoryKB << 10
        ipv4Timeout = UInt64(configuration.timeoutIPv4) * 1_000_000_000
        ipv6Timeout = UInt64(configuration.timeoutIPv6) * 1_000_000_000
    }
}

extension Configuration {
    /// Packet buffers for every descriptor, ring and burst, unless the configuration says how many.
    var packetBuffersNeeded: Int {
        guard worker.packetBuffers == 0 else { return worker.packetBuffers }
        let workers = eal.workerCores.count
        let descriptors = ports.reduce(0) { sum, port in
            sum + port.rxDescriptors * max(1, port.rxQueues == 0 ? workers : port.rxQueues) + port.txDescriptors * max(1, port.txQueues == 0 ? workers : port.txQueues)
        }
        // Five rings a worker, and what bursts and per-lcore caches hold.
        return descriptors + workers * 5 * worker.puntRing + (workers + 3) * 1024
    }
}

extension Configuration {
    /// The NUMA node of the packet buffers: the workers', if they are all on one; -1: wherever there is room. Without huge
    /// pages DPDK's memory is of one piece, on no particular node.
    var bufferNode: Int32 {
        guard eal.numa, eal.usesHugePages else { return -1 }
        let nodes = Set(eal.workerCores.map { NUMA.node(ofCPU: $0) })
        return nodes.count == 1 ? nodes.first ?? -1 : -1
    }

    /// Whether idle cores sleep.
    var sleepsWhenIdle: Bool {
        switch worker.idle {
        case .spin: false
        case .sleep: true
        case .auto: !ports.contains { (try? PortDevice($0.device).bus) == .pci } || eal.shareCores
        }
    }
}

extension Configuration.EAL {
    /// `auto`: huge pages if the machine has reserved some.
    var usesHugePages: Bool {
        switch hugePages {
        case .on: true
        case .off: false
        case .auto: HugeMemory.machineHasHugePages
        }
    }
}
