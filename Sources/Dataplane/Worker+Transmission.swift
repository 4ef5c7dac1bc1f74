// Sending, and the ends of the rings to and from the slow path.
//
// Invariant: a transmit queue has one owner, this worker; a batch is sent when it is full and at the end of each round.
import CDPDK
import DPDK
import FlowCache
import Wire

extension Worker {
    /// Adds a packet to its port's batch.
    @inline(__always)
    mutating func queue(_ packet: OpaquePointer, to port: PortIndex) {
        guard Int(port) < outputCount, outputs[Int(port)].isOpen else { return lose(Mbuf(packet), port: port, .portDown) }
        let output = outputs + Int(port)
        if output.pointee.count == Worker.batch { flush(output, port: Int(port)) }
        output.pointee.packets[output.pointee.count] = packet
        output.pointee.count &+= 1
        output.pointee.bytes &+= Mbuf(packet).totalLength
    }

    @inline(__always)
    mutating func flushOutputs() {
        var place = 0
        while place < outputCount {
            if outputs[place].count > 0 { flush(outputs + place, port: place) }
            place &+= 1
        }
    }

    /// Sends the burst's hits: at once if they are many and all leave by one port, else as part of their ports' batches.
    @inline(__always)
    mutating func send(_ count: Int) {
        guard count > 0 else { return }
        let port = Int(hitPorts[0])
        guard count >= Worker.burst / 2, !hitsDiffer, port < outputCount, outputs[port].isOpen else { return queueHits(count) }
        let output = outputs + port
        if output.pointee.count > 0 { flush(output, port: port) }
        transmit(hits, count: count, bytes: hitBytes, output, port: port)
    }

    @inline(never)
    private mutating func queueHits(_ count: Int) {
        var place = 0
        while place < count {
            queue(hits[place].unsafelyUnwrapped, to: hitPorts[place])
            place &+= 1
        }
    }

    /// Sends a port's batch; what the device does not take after some attempts is dropped.
    @inline(never)
    mutating func flush(_ output: UnsafeMutablePointer<OutputState>, port: Int) {
        transmit(output.pointee.packets, count: output.pointee.count, bytes: output.pointee.bytes, output, port: port)
        output.pointee.count = 0
        output.pointee.bytes = 0
    }

    @inline(__always)
    private mutating func transmit(
        _ packets: UnsafeMutablePointer<OpaquePointer?>, count: Int, bytes: Int, _ output: UnsafeMutablePointer<OutputState>, port: Int
    ) {
        let sent = output.pointee.queue.transmit(packets, count: count)
        statistics.addTransmitted(port: port, packets: sent, bytes: bytes)
        statistics.add(.transmitted, sent)
        if sent < count { retry(packets + sent, count: count &- sent, output, port: port) }
    }

    /// The rest of a batch, counted as to be sent, again and again up to the limit; then it is freed and counted as dropped.
    @inline(never)
    private mutating func retry(
        _ packets: UnsafeMutablePointer<OpaquePointer?>, count: Int, _ output: UnsafeMutablePointer<OutputState>, port: Int
    ) {
        var sent = 0
        var attempt = 0
        while sent < count && attempt < transmitAttempts {
            sent &+= output.pointee.queue.transmit(packets + sent, count: count &- sent)
            attempt &+= 1
        }
        statistics.add(.transmitted, sent)
        var lost = 0
        var place = sent
        while place < count {
            let packet = Mbuf(packets[place].unsafelyUnwrapped)
            lost &-= packet.totalLength
            lose(packet, port: PortIndex(truncatingIfNeeded: port), .transmitFailed)
            place &+= 1
        }
        statistics.addTransmitted(port: port, packets: sent, bytes: lost)
    }

    /// Queues what the slow path handed down, up to a burst; the number taken.
    @inline(__always)
    mutating func takeFromSlowPath() -> Int {
        guard !rings.transmit.isEmpty else { return 0 }
        return takeRequests()
    }

    @inline(never)
    mutating func takeRequests() -> Int {
        // Everything that is there now, not one burst of it: a hit queued behind must not overtake a packet left in the ring.
        var taken = 0
        while true {
            let count = rings.transmit.get(into: requests, maximum: Worker.burst)
            guard count > 0 else { break }
            var place = 0
            while place < count {
                let request = requests[place]
                if !tagged.isEmpty {
                    countDeparture(request.mbuf.data, length: request.mbuf.length, bytes: request.mbuf.totalLength, port: request.port)
                }
                queue(request.mbuf.raw, to: request.port)
                place &+= 1
            }
            taken &+= count
            if taken >= rings.transmit.capacity { break }
        }
        statistics.add(.fromSlowPath, taken)
        return taken
    }

    /// Hands the burst's punted packets up; what does not fit into its ring is dropped.
    @inline(__always)
    mutating func flushPunts(_ burst: UnsafeMutablePointer<BurstState>) {
        let punts = burst.pointee.punts
        flushPunt(punts, .control)
        flushPunt(punts, .knownFlow)
        flushPunt(punts, .newFlow)
        flushPunt(punts, .local)
    }

    @inline(__always)
    private mutating func flushPunt(_ punts: UnsafeMutablePointer<PuntState>, _ puntClass: PuntClass) {
        if punts[Int(puntClass.rawValue)].count > 0 { handUp(punts, puntClass) }
    }

    @inline(never)
    mutating func handUp(_ punts: UnsafeMutablePointer<PuntState>, _ puntClass: PuntClass) {
        let state = punts + Int(puntClass.rawValue)
        let count = state.pointee.count
        let taken = rings.ring(puntClass).put(state.pointee.packets, count: count)
        if taken < count {
            rte_pktmbuf_free_bulk(state.pointee.packets + taken, UInt32(truncatingIfNeeded: count &- taken))
            statistics.add(drop: .puntRingFull, count &- taken)
        }
        statistics.add(.punted, taken)
        statistics.add(punt: puntClass, taken)
        state.pointee.count = 0
    }
}
