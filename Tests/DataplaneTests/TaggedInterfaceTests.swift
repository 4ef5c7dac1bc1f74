// Counters of VLANs and PPPoE sessions in one worker: whose a frame is, and frames that do not leave after all.
import DPDK
import Dataplane
import Routing
import Testing
import Wire

extension WorkerSuite {
    /// Port 0 with VLAN 20 (number 2), VLAN 30 in it (3) and a session on it (4); a session on port 0 itself (5); VLAN 20 on port 1 (6).
    private static func interfaces() throws -> [(number: PortIndex, interface: Interface)] {
        var table = InterfaceTable(capacity: 16)
        let peer = EthernetAddress(rawValue: 0x0200_0000_0c01)
        for port in 0 ..< 2 { try table.add(port: PortIndex(port), name: "p\(port)", mac: routerAddresses[port]) }
        try table.add(vlan: 2, name: "a", on: 0, id: 20, tag: EtherType.vlan, mtu: 1500)
        try table.add(vlan: 3, name: "b", on: 2, id: 30, tag: EtherType.vlan, mtu: 1500)
        try table.add(pppoe: 4, name: "c", on: 2, session: 30, peer: peer, mtu: 1492)
        try table.add(pppoe: 5, name: "d", on: 0, session: 30, peer: peer, mtu: 1492)
        try table.add(vlan: 6, name: "e", on: 1, id: 20, tag: EtherType.vlan, mtu: 1500)
        return (2 ..< 7).map { (number: PortIndex($0), interface: table[PortIndex($0)]) }
    }

    /// The worker's counts of the interfaces behind the ports: received, transmitted packets.
    private func counts(_ bench: WorkerBench) -> [[UInt64]] {
        (2 ..< 7).map { let found = bench.statistics.value(port: PortIndex($0)); return [found.receivedPackets, found.transmittedPackets] }
    }

    private func frame(_ behind: [UInt8], from station: UInt8 = 1) -> [UInt8] {
        bytes(WorkerSuite.routerAddresses[0]) + [2, 0, 0, 0, 0x0c, station] + behind + [UInt8](repeating: 0, count: 46)
    }

    @Test func eachFrameIsItsInnermostInterfaces() throws {
        let tag20: [UInt8] = [0x81, 0, 0x60, 20], tag30: [UInt8] = [0x81, 0, 0, 30], service20: [UInt8] = [0x88, 0xa8, 0, 20], none: [UInt8] = [0x81, 0, 0xe0, 0]
        let session: [UInt8] = [0x88, 0x64, 0x11, 0, 0, 30, 0, 22, 0, 0x21], ipv4: [UInt8] = [8, 0]
        // Arriving by port 0: number of the interface, or none.
        let cases: [(frame: [UInt8], number: Int?)] = [
            (frame(ipv4), nil), (frame(tag20 + ipv4), 2), (frame(none + tag20 + ipv4), 2), (frame(none + ipv4), nil), (frame(tag20 + tag30 + ipv4), 3),
            (frame(tag30 + tag20 + ipv4), nil), (frame(service20 + ipv4), nil), (frame(tag30 + ipv4), nil), (frame(tag20 + tag30 + tag30 + ipv4), nil),
            (frame(session), 5), (frame(tag20 + session), 4), (frame(tag30 + session), nil), (frame(session, from: 2), nil), (frame(tag20 + session, from: 2), 2),
            // Cut short, and for everybody.
            (Array(frame(tag20 + ipv4).prefix(14)), nil), (Array(frame(tag20 + session).prefix(20)), 2),
            (Array(repeating: 0xff, count: 6) + Array(frame(tag20 + ipv4).dropFirst(6)), 2),
        ]
        for (place, some) in cases.enumerated() {
            let bench = try WorkerBench(tagged: WorkerSuite.interfaces())
            bench.inject(some.frame)
            bench.round()
            #expect(counts(bench).map { $0[0] } == (2 ..< 7).map { $0 == some.number ? 1 : 0 }, "case \(place)")
            if let number = some.number { #expect(bench.statistics.value(port: PortIndex(number)).receivedBytes == UInt64(some.frame.count)) }
            for punt in PuntClass.allCases { _ = bench.punted(punt) }
        }
    }

    /// What no transmit queue takes was not sent.
    @Test func lostFramesDoNotCount() throws {
        let bench = try WorkerBench(portCapacity: 15, outputs: 2, tagged: WorkerSuite.interfaces())
        let out = frame([0x81, 0, 0, 20, 8, 0])
        func send(_ number: Int, port: PortIndex) throws {
            for _ in 0 ..< number {
                let packet = try #require(out.withUnsafeBytes { bench.pool.packet($0) })
                #expect(bench.handle.transmit.put(TransmitRequest(packet: packet, port: port)))
            }
            bench.round()
        }
        try send(20, port: 1)
        let sent = bench.sent(1).count
        #expect(sent == 15 && bench.statistics.value(drop: .transmitFailed) == 5)
        #expect(counts(bench)[4] == [0, UInt64(sent)] && bench.statistics.value(port: 6).transmittedBytes == UInt64(sent * out.count))
        try send(3, port: 9)
        #expect(bench.statistics.value(drop: .portDown) == 3 && counts(bench)[4] == [0, UInt64(sent)])
        #expect(bench.statistics.value(port: 1).transmittedPackets == UInt64(sent))
    }
}
