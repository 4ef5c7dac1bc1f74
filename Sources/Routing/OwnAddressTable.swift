// A hash table of our own addresses: the first thing that routing asks about a destination.
//
// Invariant: at most half full, so that a probe always ends. Built at configuration time and then only read; its keys
// come from the configuration, so a packet can choose what is looked up but not how long the probe chains are.
import Wire

@usableFromInline struct OwnAddressTable: ~Copyable {
    @usableFromInline struct Slot {
        @usableFromInline var address = IPAddress(ipv4: 0)
        @usableFromInline var kind = OwnAddressKind.none
        @usableFromInline var port: PortIndex = 0
    }
    @usableFromInline let slots: UnsafeMutablePointer<Slot>
    @usableFromInline let mask: Int

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: Slot(), count: size)
        mask = size - 1
    }

    // Inlinable because the optimizer of Swift 6.3.1 asserts when an inlinable setter destroys a table whose deinit is not.
    @inlinable deinit { slots.deallocate() }

    @inlinable @inline(__always)
    func home(_ address: IPAddress) -> Int {
        let product = (address.high ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: address.low ^ 0xd6e8_feb8_6659_fd93)
        return Int(truncatingIfNeeded: product.high ^ product.low) & mask
    }

    /// Adds an address unless it is there.
    mutating func insert(_ address: IPAddress, kind: OwnAddressKind, port: PortIndex) {
        var index = home(address)
        while slots[index].kind != .none {
            if slots[index].address == address { return }
            index = (index + 1) & mask
        }
        slots[index] = Slot(address: address, kind: kind, port: port)
    }

    @inlinable
    func find(_ address: IPAddress) -> (kind: OwnAddressKind, port: PortIndex) {
        var index = home(address)
        while slots[index].kind != .none {
            if slots[index].address == address { return (slots[index].kind, slots[index].port) }
            index = (index &+ 1) & mask
        }
        return (.none, 0)
    }
}
