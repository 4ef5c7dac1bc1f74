// A function that sees each burst before the worker does: how the emulated NIC and the benchmark's flow source attach.
import CDPDK

extension EthernetPort {
    /// `(port, queue, packets, count, capacity, context) -> count`: may change, take away or (up to capacity) add packets.
    public typealias ReceiveFunction = nt_rx_callback

    /// A callback in place, to be removed again.
    public struct ReceiveCallback: @unchecked Sendable {
        fileprivate let raw: UnsafeRawPointer
        fileprivate let queue: UInt16
    }

    /// Adds a callback to a configured queue; callbacks run in the order in which they were added.
    /// - Throws: `DPDKError` (.machine) if DPDK has no memory for it.
    public func addReceiveCallback(queue: Int, context: UnsafeMutableRawPointer?, _ function: ReceiveFunction) throws -> ReceiveCallback {
        guard let raw = EAL.control({ nt_port_add_rx_callback(id, UInt16(queue), function, context) }) else {
            throw DPDKError(.machine, "port \(name): no receive callback: \(errnoText(nt_errno()))")
        }
        return ReceiveCallback(raw: raw, queue: UInt16(queue))
    }

    /// Removes it. It may still be running in its worker: free its context only after that worker was quiescent.
    public func remove(_ callback: ReceiveCallback) {
        _ = EAL.control { nt_port_remove_rx_callback(id, callback.queue, callback.raw) }
    }
}
