// What VLANs and PPPoE sessions have received and sent.
//
// Invariant: every frame is counted once, by the worker, for the innermost interface that it is of, whether the flow cache or the slow path deals
// with it; bytes are the frame's as it is on the port, tags and session header included. Frames without either cost nothing here, or (those
// that take the long way) one comparison. What is queued counts as sent; `lose` takes it back.
import DPDK
import FlowCache
import Wire

extension Worker {
    /// A frame that came in by a port, 14 bytes at least of it in one piece.
    @inline(never)
    mutating func countArrival(_ packet: Mbuf, port: PortIndex) {
        let number = tagged.interface(packet.data, length: packet.length, port: port, arrives: true)
        if number >= 0 { statistics.addReceived(port: number, packets: 1, bytes: packet.totalLength) }
    }

    /// A frame that is about to be queued for a port.
    @inline(never)
    mutating func countDeparture(_ frame: UnsafeMutableRawPointer, length: Int, bytes: Int, port: PortIndex) {
        let number = tagged.interface(frame, length: length, port: port, arrives: false)
        if number >= 0 { statistics.addTransmitted(port: number, packets: 1, bytes: bytes) }
    }

    /// Drops a frame that was on its way out.
    @inline(never)
    mutating func lose(_ packet: Mbuf, port: PortIndex, _ reason: DropReason) {
        let number = tagged.isEmpty ? -1 : tagged.interface(packet.data, length: packet.length, port: port, arrives: false)
        if number >= 0 { statistics.addTransmitted(port: number, packets: -1, bytes: -packet.totalLength) }
        drop(packet, reason)
    }
}
