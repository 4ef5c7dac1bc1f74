// The configuration as a plain value: what `needletail run --config FILE` reads before anything starts, and `needletail reload` again.
//
// Invariant: a value that `Configuration.load` returned is whole and consistent: every number is in its range, every
// name that one part uses exists in the other. Whether the machine has the cores, devices and memory is not known here.
// Durations are in seconds and sizes in the unit that the name says; conversions belong to whoever uses them.
import Wire

public struct Configuration: Sendable, Equatable {
    /// Path of the file that this came from, as the user wrote it; names the file in later messages.
    public var file = ""
    /// Seed of every random choice (hash seeds, NAT ports, IPv4 identifications); nil: a fresh one at each start.
    public var seed: UInt64?
    public var eal = EAL()
    public var worker = Worker()
    public var ports: [Port] = []
    public var vlans: [VLAN] = []
    public var sessions: [PPPoESession] = []
    public var routing = Routing()
    public var ruleset = RulesetSource()
    public var flowCache = FlowCache()
    public var conntrack = Conntrack()
    public var nat = NAT()
    public var reassembly = Reassembly()
    public var neighbours = Neighbours()
    public var icmp = ICMP()
    public var offload = Offload()
    public var control = Control()
    public var log = Log()

    public init() {}

    /// The port of that name, as an index into `ports`.
    public func portIndex(named name: String) -> Int? { ports.firstIndex { $0.name == name } }

    /// Every interface that rules, routes and neighbours may name: the ports, then the VLANs, then the PPPoE sessions.
    public var interfaceNames: [String] { ports.map(\.name) + vlans.map(\.name) + sessions.map(\.name) }

    /// The interface of that name, as an index into `interfaceNames`.
    public func interfaceIndex(named name: String) -> Int? { interfaceNames.firstIndex(of: name) }
}

extension Configuration {
    /// `[eal]`: cores and memory.
    public struct EAL: Sendable, Equatable {
        /// CPU of the core that may block: control socket, files.
        public var mainCore = 0
        /// CPU of the slow path. May be the main core's: the two then take turns.
        public var slowPathCore = 0
        /// CPUs of the workers, one worker each.
        public var workerCores = [1]
        /// Intent to run a worker on a CPU that has another job as well; idle loops then yield.
        public var shareCores = false
        public var hugePages = HugePages.auto
        /// Memory for packet buffers and tables, MiB; 0: as much as `memoryNeeded` says.
        public var memoryMB = 0
        /// Keep memory on the NUMA node of the cores that use it, and warn when a port sits on another node.
        public var numa = true
        /// Further words for the EAL's own command line.
        public var arguments: [String] = []
        public init() {}
    }

    public enum HugePages: Sendable, Equatable { case on, off, auto }

    /// `[worker]`: what each polling core works with.
    public struct Worker: Sendable, Equatable {
        /// Packets taken from a queue at once.
        public var burst = 32
        /// Packet buffers per NUMA node; 0: enough for every descriptor, ring and burst.
        public var packetBuffers = 0
        /// Bytes of packet data a buffer holds, headroom not counted.
        public var bufferBytes = 2048
        /// Packets that each of the punt rings to the slow path holds; a power of two.
        public var puntRing = 1024
        public var idle = IdleLoop.auto
        public init() {}
    }

    /// `idle`: what a core does that finds nothing to do, after a millisecond of it.
    /// - spin: ask again at once; the first packet after a silence waits for nobody.
    /// - sleep: rest for some 50 microseconds at a time; an idle router needs little of its CPUs.
    /// - auto: spin where a port is a PCI device, sleep where all are virtual or cores are shared.
    public enum IdleLoop: String, Sendable, Equatable, CaseIterable { case auto, spin, sleep }

    /// `[[port]]`: one interface of the router.
    public struct Port: Sendable, Equatable {
        /// What `iifname` and `oifname` see; at most 15 bytes, as Linux's interface names.
        public var name = ""
        /// A PCI address (`0000:3b:00.0`) or a vdev with its arguments (`net_af_packet0,iface=eth0`).
        public var device = ""
        /// Own addresses with the prefix length of their network.
        public var addresses: [IPPrefix] = []
        /// Largest IP packet in bytes.
        public var mtu = 1500
        /// nil: the device's own.
        public var mac: EthernetAddress?
        /// 0: one per worker, as many as the device has.
        public var rxQueues = 0
        public var txQueues = 0
        public var rxDescriptors = 1024
        public var txDescriptors = 1024
        public var promiscuous = false
        public var emulateOffload = EmulatedOffload.none
        public init() {}
    }

    /// `[[vlan]]`: a tagged interface on a port (IEEE 802.1Q), as `ip link add link PORT name NAME type vlan id ID` makes one.
    public struct VLAN: Sendable, Equatable {
        /// What `iifname` and `oifname` see.
        public var name = ""
        /// The port below, or the VLAN below: then frames carry two tags, this one inside.
        public var port = ""
        /// VLAN identifier, 1 to 4094.
        public var id = 0
        public var tag = VLANTag.dot1q
        /// Own addresses with the prefix length of their network.
        public var addresses: [IPPrefix] = []
        /// Largest IP packet in bytes; 0: that of the interface below.
        public var mtu = 0
        public init() {}
    }

    /// `[[pppoe]]`: a PPPoE session (RFC 2516) that stands already, as an interface of its own.
    public struct PPPoESession: Sendable, Equatable {
        /// What `iifname` and `oifname` see.
        public var name = ""
        /// The port below, or the VLAN below.
        public var port = ""
        /// Session identifier, 1 to 65534.
        public var session = 0
        /// The station at the other end.
        public var peer = EthernetAddress.zero
        /// Own addresses with the prefix length of their network.
        public var addresses: [IPPrefix] = []
        /// Largest IP packet in bytes; 0: 1492, or 8 less than the interface below takes.
        public var mtu = 0
        public init() {}
    }

    /// The tag's EtherType: 802.1q 0x8100, 802.1ad (service tag) 0x88a8.
    public enum VLANTag: String, Sendable, Equatable, CaseIterable { case dot1q = "802.1q", dot1ad = "802.1ad" }

    /// `emulate-offload`: the NIC whose rte_flow tables software plays at this port.
    /// `full` takes every flow; the others accept what the NIC of that driver does (docs/offload.md).
    public enum EmulatedOffload: String, Sendable, Equatable, CaseIterable {
        case none, full, mlx5, mlx5HardwareSteering = "mlx5-hws", nfp, bnxt, sfc, cxgbe, ice, i40e
    }

    /// `[[routing.neighbour]]`: a neighbour that never has to be resolved.
    public struct Neighbour: Sendable, Equatable {
        public var port = ""
        public var address = IPAddress(ipv4: 0)
        public var mac = EthernetAddress.zero
        public init() {}
    }

    /// `[ruleset]`
    public struct RulesetSource: Sendable, Equatable {
        /// Path of the nftables file, absolute or relative to the working directory; nil: no rules, all is forwarded.
        public var file: String?
        public init() {}
    }
}
