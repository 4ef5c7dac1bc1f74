// An Ethernet port: found or made from a device string, configured, started, stopped, closed.
//
// Invariant: probed -> configured -> started -> stopped -> closed, each step once or repeated in that order; after
// `close` nothing of the port is left, and all its packets are back in their pools. Workers use `receiveQueue(_:)` and
// `transmitQueue(_:)`, which are plain numbers; nobody polls a port that is not started.
import CDPDK
import Glibc
import Synchronization
import Wire

/// What a port shall be.
public struct PortConfiguration: Sendable, Equatable {
    public var receiveQueues = 1
    public var transmitQueues = 1
    public var receiveDescriptors = 1024
    public var transmitDescriptors = 1024
    /// Bytes of the largest IP packet; nil leaves the device's own.
    public var mtu: Int?
    /// Frames for other addresses come in as well. A router drops those itself (`DropReason.notForUs`), and needs this
    /// only where the device's filter would hold back what it wants (a MAC address that is not the device's).
    public var promiscuous = false
    /// Spread receive queues by a hash that is the same for both directions of a flow.
    public var symmetricRSS = true
    /// 16 bits that the hash's key repeats, an odd number of them 1, or hashes would be lost. Whoever knows it can
    /// choose the worker that his packets reach.
    public var hashKeyWord: UInt16 = 0x6d5a
    /// Offloads to use where the device has them.
    public var offloads: PortOffloads = [.receiveIPv4Checksum, .receiveTCPChecksum, .receiveUDPChecksum, .receiveHash]
    public init() {}
}

/// Offloads of a port, offered or in use.
public struct PortOffloads: OptionSet, Sendable, Hashable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let receiveIPv4Checksum = PortOffloads(rawValue: UInt32(NT_RX_IPV4_CHECKSUM))
    public static let receiveUDPChecksum = PortOffloads(rawValue: UInt32(NT_RX_UDP_CHECKSUM))
    public static let receiveTCPChecksum = PortOffloads(rawValue: UInt32(NT_RX_TCP_CHECKSUM))
    public static let receiveHash = PortOffloads(rawValue: UInt32(NT_RX_RSS_HASH))
    public static let receiveScatter = PortOffloads(rawValue: UInt32(NT_RX_SCATTER))
    public static let transmitIPv4Checksum = PortOffloads(rawValue: UInt32(NT_TX_IPV4_CHECKSUM))
    public static let transmitUDPChecksum = PortOffloads(rawValue: UInt32(NT_TX_UDP_CHECKSUM))
    public static let transmitTCPChecksum = PortOffloads(rawValue: UInt32(NT_TX_TCP_CHECKSUM))
    public static let transmitMultiSegment = PortOffloads(rawValue: UInt32(NT_TX_MULTI_SEGMENT))

    /// Names as `show ports` prints them.
    public var names: [String] {
        let all: [(PortOffloads, String)] = [
            (.receiveIPv4Checksum, "rx-ipv4-checksum"), (.receiveUDPChecksum, "rx-udp-checksum"), (.receiveTCPChecksum, "rx-tcp-checksum"),
            (.receiveHash, "rx-hash"), (.receiveScatter, "rx-scatter"), (.transmitIPv4Checksum, "tx-ipv4-checksum"),
            (.transmitUDPChecksum, "tx-udp-checksum"), (.transmitTCPChecksum, "tx-tcp-checksum"), (.transmitMultiSegment, "tx-multi-segment"),
        ]
        return all.filter { contains($0.0) }.map(\.1)
    }
}

/// What the device can do.
public struct PortCapabilities: Sendable, Equatable {
    public var driver: String
    public var maximumReceiveQueues: Int
    public var maximumTransmitQueues: Int
    /// Bytes of the largest IP packet that the device can be set to.
    public var maximumMTU: Int
    public var offloads: PortOffloads
    /// RSS over addresses and ports.
    public var hashes: Bool
    /// Index of the host interface below (net_tap, net_af_packet); 0 for none.
    public var interfaceIndex: UInt32
}

/// What `configure` could get.
public struct PortSetup: Sendable, Equatable {
    public var receiveQueues: Int
    public var transmitQueues: Int
    public var receiveDescriptors: Int
    public var transmitDescriptors: Int
    public var mtu: Int
    public var offloads: PortOffloads
    /// Both directions of a flow come to the same queue. False with several queues: the device spreads by its own rule.
    public var symmetricRSS: Bool
    public var promiscuous: Bool
    /// For the user: wishes that were not granted, one sentence each.
    public var notes: [String]
}

public struct PortLink: Sendable, Equatable {
    public var isUp: Bool
    /// Mbit/s; 0 if the device does not know.
    public var megabits: UInt32
    public var isFullDuplex: Bool
}

public final class EthernetPort: Sendable {
    /// The name that rules and messages use.
    public let name: String
    /// The device string it was made from; empty for a port on rings.
    public let device: String
    /// DPDK's number.
    public let id: UInt16
    /// NUMA node of the device, -1 if it has none.
    public let node: Int32
    /// The address that the device came with (not after `setMACAddress`).
    public let hardwareAddress: EthernetAddress
    public let capabilities: PortCapabilities

    private struct State {
        var setup: PortSetup?
        var hashKeyWord: UInt16 = 0
        var isStarted = false
        var isClosed = false
        // Held while queues refill from them.
        var pools: [Mempool] = []
    }
    private let state = Mutex(State())

    /// Finds the PCI device (which the EAL was allowed to use) or makes the virtual one.
    /// - Throws: `DPDKError` with DPDK's own words in `log`.
    public convenience init(name: String, device text: String) throws {
        let device = try PortDevice(text)
        guard EAL.current != nil else { throw DPDKError(.state, "port \(name): DPDK is not running") }
        let id = try EAL.control { () throws -> UInt16 in
            _ = EAL.takeLog()
            var found: UInt16 = 0
            if device.bus == .pci {
                if nt_port_matching(device.name, &found, 1) == 1 { return found }
            } else if rte_eth_dev_get_port_by_name(device.name, &found) == 0 {
                throw DPDKError(.configuration, "port \(name): device '\(device.name)' is in use already", advice: "give each port a device of its own, such as \(device.name)x")
            }
            let error = nt_port_probe(text)
            guard error == 0 else { throw EthernetPort.probeError(name, device, error) }
            if rte_eth_dev_get_port_by_name(device.name, &found) == 0 || nt_port_matching(device.name, &found, 1) == 1 { return found }
            throw DPDKError(.machine, "port \(name): '\(device.name)' is no Ethernet device", advice: "check the driver that it is bound to", log: EAL.takeLog())
        }
        try self.init(name: name, device: text, id: id)
    }

    /// Takes over a port that exists in DPDK.
    init(name: String, device: String, id: UInt16) throws {
        self.name = name
        self.device = device
        self.id = id
        var info = nt_port_info()
        let error = EAL.control { nt_port_get_info(id, &info) }
        guard error == 0 else { throw DPDKError(.machine, "port \(name): the device does not answer: \(errnoText(error))") }
        node = info.socket
        hardwareAddress = withUnsafeBytes(of: info.mac) { EthernetAddress(rawValue: $0.reduce(0) { $0 << 8 | UInt64($1) }) }
        capabilities = PortCapabilities(
            driver: withUnsafeBytes(of: info.driver) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) },
            maximumReceiveQueues: Int(info.max_rx_queues), maximumTransmitQueues: Int(info.max_tx_queues), maximumMTU: Int(info.max_mtu),
            offloads: PortOffloads(rawValue: info.offloads), hashes: info.rss_types != 0, interfaceIndex: info.interface_index)
    }

    deinit { close() }

    /// Sets queues, offloads and MTU. Queue counts are clamped to what the device has; `pools[queue % pools.count]` feeds a
    /// receive queue. Repeatable while the port is stopped.
    public func configure(_ wanted: PortConfiguration, pools: [Mempool]) throws -> PortSetup {
        precondition(!pools.isEmpty, "a port needs a packet pool")
        return try state.withLock { state in
            guard !state.isClosed, !state.isStarted else { throw DPDKError(.state, "port \(name) is \(state.isClosed ? "closed" : "running") and cannot be configured") }
            var notes: [String] = []
            func clamp(_ wish: Int, _ maximum: Int, _ what: String) -> UInt16 {
                let most = min(max(1, maximum), 1024)
                if wish > most { notes.append("port \(name): \(wish) \(what) queues wanted, the device has \(most)") }
                return UInt16(max(1, min(wish, most)))
            }
            var setup = nt_port_setup()
            setup.rx_queues = clamp(wanted.receiveQueues, capabilities.maximumReceiveQueues, "receive")
            setup.tx_queues = clamp(wanted.transmitQueues, capabilities.maximumTransmitQueues, "transmit")
            setup.rx_descriptors = UInt16(max(8, min(wanted.receiveDescriptors, 32768)))
            setup.tx_descriptors = UInt16(max(8, min(wanted.transmitDescriptors, 32768)))
            if let mtu = wanted.mtu {
                guard mtu >= 68, mtu <= 65535 - 64 else { throw DPDKError(.configuration, "port \(name): an MTU of \(mtu) is out of range", advice: "68 to 65471") }
                guard capabilities.maximumMTU == 0 || mtu <= capabilities.maximumMTU else {
                    throw DPDKError(.configuration, "port \(name): an MTU of \(mtu) is more than the device's \(capabilities.maximumMTU)", advice: "lower it or use another device")
                }
                setup.mtu = UInt16(mtu)
            }
            setup.offloads = wanted.offloads.rawValue
            setup.symmetric_rss = wanted.symmetricRSS
            setup.key_word = wanted.hashKeyWord
            setup.promiscuous = wanted.promiscuous
            let handles: [OpaquePointer?] = (0 ..< Int(setup.rx_queues)).map { pools[$0 % pools.count].raw }
            var step: UnsafePointer<CChar>?
            let error = EAL.control { () -> Int32 in
                _ = EAL.takeLog()
                return handles.withUnsafeBufferPointer { nt_port_configure(id, &setup, $0.baseAddress, &step) }
            }
            guard error == 0 else {
                throw DPDKError(.machine, "port \(name): \(step.map { String(cString: $0) } ?? "configuration") failed: \(errnoText(error))", log: EAL.takeLog())
            }
            if wanted.promiscuous && !setup.promiscuous { notes.append("port \(name): the device has no promiscuous mode") }
            if wanted.symmetricRSS && setup.rx_queues > 1 && !setup.symmetric_rss {
                notes.append("port \(name): the device has no symmetric RSS; a flow's two directions may come to different workers")
            }
            if let largest = pools.map({ $0.dataRoom - Mempool.headroom }).min(), Int(setup.mtu) + 22 > largest {
                notes.append("port \(name): a frame of MTU \(setup.mtu) does not fit a packet buffer of \(largest) bytes; longer ones are split or dropped")
            }
            let result = PortSetup(
                receiveQueues: Int(setup.rx_queues), transmitQueues: Int(setup.tx_queues), receiveDescriptors: Int(setup.rx_descriptors),
                transmitDescriptors: Int(setup.tx_descriptors), mtu: Int(setup.mtu), offloads: PortOffloads(rawValue: setup.offloads),
                symmetricRSS: setup.symmetric_rss, promiscuous: setup.promiscuous, notes: notes)
            state.setup = result
            state.hashKeyWord = wanted.hashKeyWord
            state.pools = pools
            return result
        }
    }

    /// From now on the queues may be polled.
    public func start() throws {
        try state.withLock { state in
            guard state.setup != nil, !state.isClosed else { throw DPDKError(.state, "port \(name) is not configured") }
            guard !state.isStarted else { return }
            let error = EAL.control { rte_eth_dev_start(id) }
            guard error == 0 else { throw DPDKError(.machine, "port \(name) does not start: \(errnoText(error))", log: EAL.takeLog()) }
            state.isStarted = true
        }
    }

    /// Nobody polls any more when this is called.
    public func stop() {
        state.withLock { state in
            guard state.isStarted else { return }
            _ = EAL.control { rte_eth_dev_stop(id) }
            state.isStarted = false
        }
    }

    /// Stops it if need be, and removes the device; repeated calls do nothing.
    public func close() {
        stop()
        state.withLock { state in
            guard !state.isClosed else { return }
            if EAL.current != nil { _ = EAL.control { nt_port_remove(id) } }
            state.isClosed = true
            state.pools = []
        }
    }

    public var isStarted: Bool { state.withLock { $0.isStarted } }
    /// What `configure` got; nil before.
    public var setup: PortSetup? { state.withLock { $0.setup } }

    public func receiveQueue(_ queue: Int) -> ReceiveQueue { ReceiveQueue(port: id, queue: UInt16(queue)) }
    public func transmitQueue(_ queue: Int) -> TransmitQueue { TransmitQueue(port: id, queue: UInt16(queue)) }

    /// How the running port spreads what it receives over its queues.
    /// - Throws: `DPDKError` (.machine) if the device does not tell.
    public func receiveHashing() throws -> ReceiveHashing {
        let (setup, word, isStarted) = state.withLock { ($0.setup, $0.hashKeyWord, $0.isStarted) }
        guard let setup, isStarted else { throw DPDKError(.state, "port \(name) is not running") }
        if setup.receiveQueues == 1 { return .oneQueue }
        guard setup.symmetricRSS else { throw DPDKError(.machine, "port \(name): the device has no RSS that needletail could set up") }
        return try withUnsafeTemporaryAllocation(of: nt_port_spread.self, capacity: 1) { room in
            let raw = room.baseAddress.unsafelyUnwrapped
            var step: UnsafePointer<CChar>?
            let error = EAL.control { nt_port_get_spread(id, UInt16(setup.receiveQueues), word, raw, &step) }
            guard error == 0 else {
                throw DPDKError(.machine, "port \(name): the device does not tell how it spreads packets: \(step.map { String(cString: $0) } ?? ""): \(errnoText(error))", log: EAL.takeLog())
            }
            return ReceiveHashing(raw)
        }
    }

    /// Link state, without waiting for the device.
    public var link: PortLink {
        var link = nt_port_link()
        guard EAL.control({ nt_port_get_link(id, &link) }) == 0 else { return PortLink(isUp: false, megabits: 0, isFullDuplex: false) }
        return PortLink(isUp: link.up, megabits: link.megabits == UInt32.max ? 0 : link.megabits, isFullDuplex: link.full_duplex)
    }

    /// MTU of the host interface below (net_af_packet, net_tap) in bytes; nil if there is none.
    public var hostInterfaceMTU: Int? {
        guard capabilities.interfaceIndex != 0 else { return nil }
        let mtu = Int(nt_interface_mtu(capabilities.interfaceIndex))
        return mtu > 0 ? mtu : nil
    }

    /// The address that the port has now.
    public var macAddress: EthernetAddress {
        var info = nt_port_info()
        guard EAL.control({ nt_port_get_info(id, &info) }) == 0 else { return hardwareAddress }
        return withUnsafeBytes(of: info.mac) { EthernetAddress(rawValue: $0.reduce(0) { $0 << 8 | UInt64($1) }) }
    }

    /// Makes the device receive frames for another address. A device that cannot change its filter becomes promiscuous; a
    /// virtual one that cannot do that either has no filter.
    /// - Throws: `DPDKError` (.machine) if a NIC would hold such frames back.
    public func setMACAddress(_ address: EthernetAddress) throws {
        let bytes = (0 ..< 6).map { UInt8(truncatingIfNeeded: address.rawValue >> (40 - 8 * UInt64($0))) }
        let error = EAL.control { nt_port_set_mac(id, bytes) }
        if error == 0 || error == -ENOTSUP && (setPromiscuous(true) || (try? PortDevice(device).bus) != .pci) { return }
        throw DPDKError(.machine, "port \(name): the device does not take another MAC address: \(errnoText(error))")
    }

    private static func probeError(_ name: String, _ device: PortDevice, _ error: Int32) -> DPDKError {
        let log = EAL.takeLog()
        var advice = ""
        if device.bus == .pci {
            advice = "check the address with lspci, and that the device is bound to a driver for DPDK (dpdk-devbind.py --status)"
        } else if device.name.hasPrefix("net_af_packet") || device.name.hasPrefix("net_tap") {
            advice = "check that the interface exists and that the process has CAP_NET_RAW and CAP_NET_ADMIN (or is root)"
        } else if device.name.hasPrefix("net_pcap") {
            advice = "check that the rx_pcap files are there and readable, and that the tx_pcap files can be written"
        } else {
            advice = "check the driver's name and arguments: \(device.text)"
        }
        return DPDKError(.machine, "port \(name): device '\(device.text)' cannot be made: \(errnoText(error))", advice: advice, log: log)
    }
}
