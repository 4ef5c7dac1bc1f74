import Testing
import Wire

@testable import Routing

@Suite struct VLANTableTests {
    private func table() throws -> InterfaceTable {
        var table = InterfaceTable(capacity: 8)
        try table.add(port: 0, name: "lan", mac: EthernetAddress(rawValue: 0x0200_0000_0a01))
        try table.add(port: 1, name: "wan", mac: EthernetAddress(rawValue: 0x0200_0000_0b01))
        try table.add(vlan: 2, name: "lan.20", on: 0, id: 20, tag: EtherType.vlan, mtu: 1500)
        try table.add(vlan: 3, name: "lan.20s", on: 0, id: 20, tag: EtherType.qinq, mtu: 1500)
        try table.add(vlan: 4, name: "wan.20", on: 1, id: 20, tag: EtherType.vlan, mtu: 1400)
        try table.add(vlan: 5, name: "lan.20s.7", on: 3, id: 7, tag: EtherType.vlan, mtu: 1500)
        return table
    }

    private func stack(_ tags: (id: UInt16, type: UInt16)...) -> VLANStack {
        var stack = VLANStack()
        for tag in tags { stack.push(id: tag.id, type: tag.type) }
        return stack
    }

    @Test func tagsFindTheirInterface() throws {
        let table = try table()
        #expect(table.interface(on: 0, tagged: stack((20, EtherType.vlan))) == 2)
        #expect(table.interface(on: 0, tagged: stack((20, EtherType.qinq))) == 3)
        #expect(table.interface(on: 1, tagged: stack((20, EtherType.vlan))) == 4)
        #expect(table.interface(on: 0, tagged: stack((20, EtherType.qinq), (7, EtherType.vlan))) == 5)
        #expect(table.interface(on: 0, tagged: stack((20, EtherType.vlan), (7, EtherType.vlan))) == nil)
        #expect(table.interface(on: 1, tagged: stack((21, EtherType.vlan))) == nil)
        #expect(table[5].lower == 0 && table[5].mac == table[0].mac && table[5].vlan.count == 2)
        #expect(table[4].mtu == 1400 && table[1].lower == 1)
    }

    @Test func tagsLieAsInAFrame() {
        #expect(stack((20, EtherType.vlan)).bytes == UInt64(0x8100_0014_0000_0000).bigEndian)
        #expect(stack((20, EtherType.qinq), (7, EtherType.vlan)).bytes == UInt64(0x88a8_0014_8100_0007).bigEndian)
        #expect(VLANStack().bytes == 0)
    }

    @Test func whatCannotBeIsRefused() throws {
        var table = try table()
        #expect(throws: RoutingError.self) { try table.add(vlan: 6, name: "again", on: 0, id: 20, tag: EtherType.vlan, mtu: 1500) }
        #expect(throws: RoutingError.self) { try table.add(vlan: 6, name: "deep", on: 5, id: 1, tag: EtherType.vlan, mtu: 1500) }
        #expect(throws: RoutingError.self) { try table.add(vlan: 6, name: "zero", on: 0, id: 0, tag: EtherType.vlan, mtu: 1500) }
        #expect(throws: RoutingError.self) { try table.add(vlan: 6, name: "air", on: 7, id: 1, tag: EtherType.vlan, mtu: 1500) }
    }
}
