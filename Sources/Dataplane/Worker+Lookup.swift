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
    /// Stage 1: the probes of the burst's cacheable packets, their bucket lines requested; everything else is dealt with. Returns
    /// the number of probes.
    @inline(__always)
    mutating func classify(_ count: Int, _ input: UnsafeMutablePointer<InputState>) -> Int {
        let port = input.pointee.port
        let address = input.pointee.address
        var bytes = 0
        var cacheable = 0
        var place = 0
        while place < count {
            let packet = Mbuf(received[place].unsafelyUnwrapped)
            if place &+ 4 < count { Mbuf(received[place &+ 4].unsafelyUnwrapped).prefetchData() }
            let frame = packet.data
            let length = packet.length
            bytes &+= packet.totalLength
            // The first eight bytes are read before the length is known to be 14: they lie in the mbuf's data room whatever it holds.
            let destination = frame.loadUnaligned(as: UInt64.self) & 0xffff_ffff_ffff
            if destination == address, packet.segmentCount == 1,
               FlowProbe.read(frame, length: length, ingress: port, seeds: reader.seeds, into: probes + cacheable) {
                request(cacheable)
                candidates[cacheable] = packet.raw
                cacheable &+= 1
            } else if takeOdd(packet, input, place: cacheable) {
                request(cacheable)
                candidates[cacheable] = packet.raw
                cacheable &+= 1
            }
            place &+= 1
        }
        statistics.add(.bursts, 1)
        statistics.add(.received, count)
        statistics.addReceived(port: Int(port), packets: count, bytes: bytes)
        return cacheable
    }

    @inline(__always)
    private mutating func request(_ place: Int) {
        if !probes[place].isIPv6 { request(place, reader.ipv4) } else { request(place, reader.ipv6) }
    }

    @inline(__always)
    private mutating func request(_ place: Int, _ view: FlowTableView) {
        let bucket = view.bucket(probes[place].hash)
        probes[place].bucket = UInt32(truncatingIfNeeded: bucket)
        ntl_prefetch_read(view.line(bucket))
    }

    /// Stage 2: the candidate entry of each probe, requested. A probe without one keeps `entry` equal to `network`, which no
    /// entry is.
    @inline(__always)
    mutating func match(_ count: Int) {
        var place = 0
        while place < count {
            let probe = probes + place
            if !probe.pointee.isIPv6 { match(probe, reader.ipv4, isIPv6: false) } else { match(probe, reader.ipv6, isIPv6: true) }
            place &+= 1
        }
        // Pairs with the release store of each tag that was matched: the entries may be read now.
        reader.fence()
    }

    @inline(__always)
    private mutating func match(_ probe: UnsafeMutablePointer<FlowProbe>, _ view: FlowTableView, isIPv6: Bool) {
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
    mutating func forward(_ count: Int, _ input: UnsafeMutablePointer<InputState>, tick: UInt32) -> Int {
        let generation = reader.currentGeneration()
        var hitCount = 0
        var place = 0
        while place < count {
            let packet = candidates[place].unsafelyUnwrapped
            let probe = probes + place
            // IPv4 first: the optimizer inlines until the function is as large as it allows.
            let port = !probe.pointee.isIPv6
                ? forward(packet, probe, isIPv6: false, generation: generation, input, tick: tick)
                : forward(packet, probe, isIPv6: true, generation: generation, input, tick: tick)
            place &+= 1
            guard port >= 0 else { continue }
            hits[hitCount] = packet
            hitPorts[hitCount] = PortIndex(truncatingIfNeeded: port)
            hitCount &+= 1
        }
        statistics.add(.hits, hitCount)
        return hitCount
    }

    /// One packet of stage 3: the port by which it leaves, or -1 if it was punted or dropped.
    @inline(__always)
    private mutating func forward(
        _ raw: OpaquePointer, _ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, generation: UInt32, _ input: UnsafeMutablePointer<InputState>,
        tick: UInt32
    ) -> Int {
        let packet = Mbuf(raw)
        if probe.pointee.entry == probe.pointee.network { return miss(packet, input) }
        if !FlowProbe.isEntryMine(probe, isIPv6: isIPv6) {
            searchOverflow(probe)
            if probe.pointee.entry == probe.pointee.network { return miss(packet, input) }
        }
        let action = reader.actions + FlowProbe.action(probe, isIPv6: isIPv6)
        let flags = packet.offloadFlags.rawValue
        let verified = VerifiedChecksums(
            network: flags & Worker.networkChecksumMask == OffloadFlags.ipChecksumGood.rawValue,
            transport: flags & Worker.transportChecksumMask == OffloadFlags.transportChecksumGood.rawValue)
        let reason = FlowProbe.judge(probe, isIPv6: isIPv6, action: action, generation: generation, verified: verified, connections: connections)
        guard reason == .none else { return refuse(packet, reason, input) }
        FlowProbe.rewrite(probe, isIPv6: isIPv6, action: action)
        FlowProbe.count(probe, isIPv6: isIPv6, tick: tick)
        // Linux trims a forwarded packet to its IP length: padding stays behind.
        let frameLength = probe.pointee.frameLength
        if packet.length != frameLength { packet.setFrame(headroom: packet.headroom, length: frameLength) }
        return Int(action.pointee.outputPort)
    }

    @inline(__always) private static var networkChecksumMask: UInt64 { OffloadFlags.ipChecksumGood.rawValue | OffloadFlags.ipChecksumBad.rawValue }
    @inline(__always) private static var transportChecksumMask: UInt64 {
        OffloadFlags.transportChecksumGood.rawValue | OffloadFlags.transportChecksumBad.rawValue
    }

    /// A packet without an entry. Returns -1, as `forward` does.
    @inline(never)
    mutating func miss(_ packet: Mbuf, _ input: UnsafeMutablePointer<InputState>) -> Int {
        statistics.add(.misses, 1)
        packet.port = input.pointee.port
        punt(packet, .newFlow)
        return -1
    }

    /// A hit that may not be forwarded here. Returns -1, as `forward` does.
    @inline(never)
    mutating func refuse(_ packet: Mbuf, _ reason: FlowGuardReason, _ input: UnsafeMutablePointer<InputState>) -> Int {
        statistics.add(guard: reason)
        packet.port = input.pointee.port
        if reason == .networkChecksum { drop(packet, .ipv4BadChecksum) } else { punt(packet, .knownFlow) }
        return -1
    }
}
