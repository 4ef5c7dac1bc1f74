// The Swift face of the emulated NIC (CShims/CDPDK/include/emulated_nic.h).
//
// Invariant: attach after the port's queues are configured and before its workers poll; detach after they stopped or
// while they go on polling, but never from a worker.

/// A failure of the NIC or of its emulation, with errno and the driver's words.
public struct OffloadError: Error, Sendable, CustomStringConvertible {
    /// Positive errno.
    public var number: Int32
    /// "ENOSPC".
    public var name: String
    /// What the driver said; may be empty.
    public var text: String
    public var description: String { text.isEmpty ? name : "\(name): \(text)" }
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
    public static var profiles: [String] { ["full"] }

    /// Puts an emulated NIC on a configured port.
    /// - Parameters:
    ///   - port: DPDK's port id.
    ///   - profile: one of `profiles`.
    ///   - capacity: rules; 0 for the profile's own.
    /// - Throws: `OffloadError`: EINVAL for an unknown profile, EBUSY if the port has one already, ENOMEM, or what
    ///   `rte_eth_add_rx_callback` says.
    public static func attach(port: UInt16, profile: String, capacity: UInt32 = 0) throws {
        throw OffloadError(number: 95, name: "EOPNOTSUPP", text: "no emulated NIC in this build")
    }

    /// Takes the emulated NIC off a port; nothing happens if there is none.
    public static func detach(port: UInt16) {}

    /// nil if the port has no emulated NIC.
    public static func statistics(port: UInt16) -> Statistics? {
        nil
    }
}
