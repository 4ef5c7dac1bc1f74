// The Swift face of the emulated NIC (CShims/CDPDK/include/emulated_nic.h).
//
// Invariant: attach after the port's queues are configured and before its workers poll; detach after they stopped.
import CDPDK
import Wire

/// A failure of the NIC or of its emulation, with errno and the driver's words.
public struct OffloadError: Error, Sendable, CustomStringConvertible {
    /// Positive errno.
    public var number: Int32
    /// "ENOSPC".
    public var name: String
    /// What the driver said; may be empty.
    public var text: String
    public var description: String { text.isEmpty ? name : "\(name): \(text)" }

    init(_ error: nt_flow_error) {
        number = error.number
        name = String(cString: nt_flow_errno_name(error.number))
        text = withUnsafeBytes(of: error.text) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

public enum EmulatedNIC {
    public struct Statistics: Sendable, Equatable {
        public var carriedPackets: UInt64 = 0
        /// Frame bytes, without FCS.
        public var carriedBytes: UInt64 = 0
        public var droppedByRule: UInt64 = 0
        public var marked: UInt64 = 0
        public var lostAtTransmit: UInt64 = 0
        public var rules: UInt64 = 0
        /// Uses of a handle after its rule's end; anything but 0 is an error of the manager.
        public var staleHandles: UInt64 = 0
    }

    /// Names that `emulate-offload` takes.
    public static var profiles: [String] {
        var names: [String] = []
        var index: UInt32 = 0
        while let profile = nt_nic_profile_at(index) {
            names.append(String(cString: profile.pointee.name))
            index += 1
        }
        return names
    }

    /// Puts an emulated NIC on a configured port.
    /// - Parameters:
    ///   - port: DPDK's port id.
    ///   - profile: one of `profiles`.
    ///   - capacity: rules; 0 for the profile's own.
    /// - Throws: `OffloadError`: EINVAL for an unknown profile, EBUSY if the port has one already, ENOMEM, or what
    ///   `rte_eth_add_rx_callback` says.
    public static func attach(port: UInt16, profile: String, capacity: UInt32 = 0) throws {
        nt_control_lock()
        defer { nt_control_unlock() }
        var error = nt_flow_error()
        let found = nt_nic_profile_named(profile)
        guard nt_nic_attach(port, found, capacity, &error) == 0 else { throw OffloadError(error) }
    }

    /// Takes the emulated NIC off a port; nothing happens if there is none.
    public static func detach(port: UInt16) {
        nt_control_lock()
        defer { nt_control_unlock() }
        nt_nic_detach(port)
    }

    /// Faults to inject from the next call on, for tests; all zero: none. See emulated_nic.h for each.
    public static func setFaults(port: UInt16, _ change: (inout nt_nic_faults) -> Void) {
        var faults = nt_nic_faults()
        change(&faults)
        nt_nic_set_faults(port, &faults)
    }

    /// nil if the port has no emulated NIC.
    public static func statistics(port: UInt16) -> Statistics? {
        guard nt_nic_profile_of(port) != nil else { return nil }
        var raw = nt_nic_statistics()
        nt_nic_read_statistics(port, &raw)
        return Statistics(
            carriedPackets: raw.carried_packets, carriedBytes: raw.carried_bytes, droppedByRule: raw.dropped_by_rule,
            marked: raw.marked, lostAtTransmit: raw.lost_at_transmit, rules: raw.rules, staleHandles: raw.stale_handles)
    }
}

extension OffloadPort {
    /// The hairpin queue towards another port, if there is one. An emulated NIC has them between all its ports.
    func hairpinQueue(to output: PortIndex) -> UInt16? {
        hairpinQueues[output] ?? (nt_nic_profile_of(dpdkPort) != nil ? 0 : nil)
    }
}
