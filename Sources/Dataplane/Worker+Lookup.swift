// The three stages of a burst: read keys and ask for buckets; match tags and ask for entries; compare, judge, rewrite.
//
// Invariant: between the stages all packets' misses are under way at once, and a stage never waits for its own request.
import CDPDK
import CIntrinsics
import DPDK
import FlowCache
import Synchronization
import Wire

extension Worker {
    /// Stage 1: the probes of the burst's cacheable packets, their bucket lines requested; everything else is dealt with.
    @inline(__always)
    mutating func classify(_ count: Int, _ burst: UnsafeMutablePointer<BurstState>) {
        let port = burst.pointee.input.pointee.port
        let address = burst.pointee.input.pointee.address
        let received = burst.pointee.packets
        let view4 = reader.ipv4
        let seeds = reader.seeds
        var bytes = 0
        burst.pointee.ipv4.count = 0
        burst.pointee.ipv4.hasTCP = false
        burst.pointee.ipv6.count = 0
        burst.pointee.ipv6.hasTCP = false
        var transports: UInt64 = 0
        let first = burst.pointee.ipv4.probes
        var probe = first
        var packets = burst.pointee.ipv4.packets
        var place = 0
        while place < count {
            let packet = Mbuf(received[place].unsafelyUnwrapped)
            if place &+ 4 < count { Mbuf(received[place &+ 4].unsafelyUnwrapped).prefetchData() }
            let frame = packet.data
            let length = packet.length
            place &+= 1
            // The first eight bytes are read before the length is known to be 14: they lie in the mbuf's data room whatever it holds.
            if (frame.loadUnaligned(as: UInt64.self) ^ address) &<< 16 == 0, packet.segmentCount == 1, length >= 42 {
                if FlowProbe.readIPv4(frame, length: length, ingress: port, seeds: seeds, into: probe) {
                    Worker.request(probe, view4)
                    transports |= probe.pointee.tuple
                    packets.pointee = packet.raw
                    packets += 1
                    probe += 1
                    bytes &+= length
                    continue
                }
                if FlowProbe.readIPv6(
                    frame, length: length, ingress: port, seeds: seeds, into: burst.pointee.ipv6.probes + burst.pointee.ipv6.count) {
                    takeIPv6(packet, &burst.pointee.ipv6)
                    bytes &+= length
                    continue
                }
            }
            bytes &+= packet.totalLength
            burst.pointee.ipv4.count = probe - first
            takeOdd(packet, burst)
            probe = first + burst.pointee.ipv4.count
            packets = burst.pointee.ipv4.packets + burst.pointee.ipv4.count
        }
        burst.pointee.ipv4.count = probe - first
        // TCP's number is 6, UDP's 17: a bit that only TCP has.
        if transports &>> 48 & 2 != 0 { burst.pointee.ipv4.hasTCP = true }
        statistics.add(.bursts, 1)
        statistics.add(.received, count)
        statistics.addReceived(port: Int(port), packets: count, bytes: bytes)
    }

    @inline(__always)
    private func takeIPv6(_ packet: Mbuf, _ lane: inout ProbeLane) {
        let probe = lane.probes + lane.count
        Worker.request(probe, reader.ipv6)
        if probe.pointee.transportProtocol == IPProtocol.tcp { lane.hasTCP = true }
        lane.packets[lane.count] = packet.raw
        lane.count &+= 1
    }

    @inline(__always)
    static func request(_ probe: UnsafeMutablePointer<FlowProbe>, _ view: FlowTableView) {
        let bucket = view.bucket(probe.pointee.hash)
        probe.pointee.bucket = UInt32(truncatingIfNeeded: bucket)
        ntl_prefetch_read(view.line(bucket))
    }

    /// Stage 2: the candidate entry of each probe, requested. A probe without one keeps `entry` equal to `network`, which no
    /// entry is.
    @inline(__always)
    mutating func match(_ burst: UnsafeMutablePointer<BurstState>) {
        if burst.pointee.ipv4.count > 0 { match(burst.pointee.ipv4.probes, burst.pointee.ipv4.count, reader.ipv4, isIPv6: false) }
        if burst.pointee.ipv6.count > 0 { match(burst.pointee.ipv6.probes, burst.pointee.ipv6.count, reader.ipv6, isIPv6: true) }
        // Pairs with the release store of each tag that was matched: the entries may be read now.
        reader.fence()
    }

    @inline(__always)
    private mutating func match(_ probes: UnsafeMutablePointer<FlowProbe>, _ count: Int, _ view: FlowTableView, isIPv6: Bool) {
        var probe = probes
        let end = probes + count
        while probe < end {
            let bucket = Int(probe.pointee.bucket)
            let line = view.line(bucket)
            let lanes = view.match(line, FlowTableView.tag(probe.pointee.hash))
            if lanes != 0 {
                let entry = view.entry(slot: bucket &* FlowTableView.lanes &+ lanes.trailingZeroBitCount, isIPv6: isIPv6)
                probe.pointee.entry = entry
                ntl_prefetch_write(entry)
                if isIPv6 { ntl_prefetch_write(entry + 64) }
            } else if view.overflow(line) != 0 {
                searchOverflow(probe)
            }
            probe += 1
        }
    }

    /// Between stages 2 and 3 of TCP: the lines of the connections' windows, which only the entries name.
    @inline(__always)
    func requestConnections(_ burst: UnsafeMutablePointer<BurstState>) {
        guard let base = connections.base else { return }
        if burst.pointee.ipv4.hasTCP { requestConnections(base, burst.pointee.ipv4, isIPv6: false) }
        if burst.pointee.ipv6.hasTCP { requestConnections(base, burst.pointee.ipv6, isIPv6: true) }
    }

    @inline(__always)
    private func requestConnections(_ base: UnsafeMutableRawPointer, _ lane: ProbeLane, isIPv6: Bool) {
        var probe = lane.probes
        let end = probe + lane.count
        while probe < end {
            if probe.pointee.transportProtocol == IPProtocol.tcp, probe.pointee.entry != probe.pointee.network {
                ntl_prefetch_write(base + Int(FlowProbe.connection(probe, isIPv6: isIPv6)) &* connections.stride)
            }
            probe += 1
        }
    }

    /// The whole search, for a packet whose primary bucket overflowed or showed another flow's tag.
    @inline(never)
    mutating func searchOverflow(_ probe: UnsafeMutablePointer<FlowProbe>) {
        let view = probe.pointee.isIPv6 ? reader.ipv6 : reader.ipv4
        let slot = view.find(probe.pointee.key, hash: probe.pointee.hash)
        probe.pointee.entry = slot < 0 ? probe.pointee.network : view.entry(slot: slot)
    }

    /// Stage 3: hits are rewritten and noted in `hits` and `hitPorts`, their number returned; the others are punted or dropped.
    @inline(__always)
    mutating func forward(_ burst: UnsafeMutablePointer<BurstState>, tick: UInt32) -> Int {
        let generation = reader.currentGeneration()
        hitBytes = 0
        hitsDiffer = false
        var hitCount = 0
        if burst.pointee.ipv4.count > 0 { hitCount = forward(burst.pointee.ipv4, isIPv6: false, from: 0, generation: generation, burst, tick: tick) }
        if burst.pointee.ipv6.count > 0 { hitCount = forward(burst.pointee.ipv6, isIPv6: true, from: hitCount, generation: generation, burst, tick: tick) }
        statistics.add(.hits, hitCount)
        return hitCount
    }

    @inline(__always)
    private mutating func forward(
        _ lane: ProbeLane, isIPv6: Bool, from first: Int, generation: UInt32, _ burst: UnsafeMutablePointer<BurstState>, tick: UInt32
    ) -> Int {
        let hits = self.hits
        let hitPorts = self.hitPorts
        let actions = reader.actions
        let connections = self.connections
        let owner = self.owner
        let mask = Worker.transportChecksumMask | (isIPv6 ? 0 : Worker.networkChecksumMask)
        let verified = OffloadFlags.transportChecksumGood.rawValue | (isIPv6 ? 0 : OffloadFlags.ipChecksumGood.rawValue)
        var hitCount = first
        var bytes = 0
        var differ: PortIndex = 0
        var place = 0
        while place < lane.count {
            let probe = lane.probes + place
            let raw = lane.packets[place].unsafelyUnwrapped
            place &+= 1
            let packet = Mbuf(raw)
            var frameLength = probe.pointee.frameLength
            let port: PortIndex
            if packet.offloadFlags.rawValue & mask == verified,
               let action = FlowProbe.acceptPlain(probe, isIPv6: isIPv6, actions: actions, generation: generation, connections: connections, owner: owner) {
                FlowProbe.rewritePlain(probe, isIPv6: isIPv6, action: action, tick: tick)
                // Linux trims a forwarded packet to its IP length: padding stays behind.
                if packet.length != frameLength { packet.setFrame(headroom: packet.headroom, length: frameLength) }
                port = action.pointee.outputPort
            } else {
                let found = forwardOdd(raw, probe, generation: generation, burst, tick: tick)
                guard found >= 0 else { continue }
                port = PortIndex(truncatingIfNeeded: found)
                frameLength = probe.pointee.frameLength
            }
            bytes &+= frameLength
            hits[hitCount] = raw
            hitPorts[hitCount] = port
            differ |= port ^ hitPorts[0]
            hitCount &+= 1
        }
        hitBytes &+= bytes
        if differ != 0 { hitsDiffer = true }
        return hitCount
    }

    /// The long way of stage 3: the port by which the packet leaves, or -1 if it was punted or dropped.
    @inline(never)
    private mutating func forwardOdd(
        _ raw: OpaquePointer, _ probe: UnsafeMutablePointer<FlowProbe>, generation: UInt32, _ burst: UnsafeMutablePointer<BurstState>, tick: UInt32
    ) -> Int {
        let packet = Mbuf(raw)
        let isIPv6 = probe.pointee.isIPv6
        if probe.pointee.entry == probe.pointee.network { return miss(packet, burst) }
        if !FlowProbe.isEntryMine(probe, isIPv6: isIPv6) {
            searchOverflow(probe)
            if probe.pointee.entry == probe.pointee.network { return miss(packet, burst) }
        }
        // A session header of another station is not the flow's: the slow path says what it is.
        if probe.pointee.isInSession,
           !tagged.holds(probe.pointee.frame, port: burst.pointee.input.pointee.port, encapsulation: probe.pointee.encapsulation) { return miss(packet, burst) }
        let action = reader.actions + FlowProbe.action(probe, isIPv6: isIPv6)
        let flags = packet.offloadFlags.rawValue
        let verified = VerifiedChecksums(
            network: flags & Worker.networkChecksumMask == OffloadFlags.ipChecksumGood.rawValue,
            transport: flags & Worker.transportChecksumMask == OffloadFlags.transportChecksumGood.rawValue)
        let reason = FlowProbe.judge(probe, isIPv6: isIPv6, action: action, generation: generation, verified: verified, connections: connections, owner: owner)
        guard reason == .none else { return refuse(packet, reason, burst) }
        let linkLength = Int(probe.pointee.linkLength)
        if action.pointee.flags & FlowAction.Flag.rewritesTags != 0, packet.headroom < FlowProbe.maximumTagBytes { return miss(packet, burst) }
        FlowProbe.rewrite(probe, isIPv6: isIPv6, action: action)
        FlowProbe.count(probe, isIPv6: isIPv6, tick: tick)
        let frameLength = probe.pointee.frameLength
        if action.pointee.vlanCount != 0 { countDeparture(probe.pointee.frame, length: frameLength, bytes: frameLength, port: action.pointee.outputPort) }
        let moved = linkLength &- Int(probe.pointee.linkLength)
        if packet.length != frameLength || moved != 0 { packet.setFrame(headroom: packet.headroom &+ moved, length: frameLength) }
        return Int(action.pointee.outputPort)
    }

    @inline(__always) private static var networkChecksumMask: UInt64 { OffloadFlags.ipChecksumGood.rawValue | OffloadFlags.ipChecksumBad.rawValue }
    @inline(__always) private static var transportChecksumMask: UInt64 {
        OffloadFlags.transportChecksumGood.rawValue | OffloadFlags.transportChecksumBad.rawValue
    }

    /// A packet without an entry. Returns -1, as `forward` does.
    @inline(never)
    mutating func miss(_ packet: Mbuf, _ burst: UnsafeMutablePointer<BurstState>) -> Int {
        statistics.add(.misses, 1)
        packet.port = burst.pointee.input.pointee.port
        punt(packet, .newFlow, burst)
        return -1
    }

    /// A hit that may not be forwarded here. Returns -1, as `forward` does.
    @inline(never)
    mutating func refuse(_ packet: Mbuf, _ reason: FlowGuardReason, _ burst: UnsafeMutablePointer<BurstState>) -> Int {
        statistics.add(guard: reason)
        packet.port = burst.pointee.input.pointee.port
        if reason == .networkChecksum { drop(packet, .ipv4BadChecksum) } else { punt(packet, .knownFlow, burst) }
        return -1
    }
}
