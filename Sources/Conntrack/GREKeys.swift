// The call IDs of PPTP tunnels: a GRE packet names only its receiver's, and the sender's is looked up here
// (nf_conntrack_proto_gre.c, gre_keymap_lookup).
//
// A new key is refused when all are taken, and the call then goes without a tunnel; keys go with their call or control
// connection. An attacker needs a tracked control connection with the helper for each two.
//
// Invariant: `count` keys are in the buckets, at most `capacity`.
import Wire

struct GREKeys: ~Copyable {
    static var capacity: Int { 2048 }
    private static var buckets: Int { 512 }
    private struct Key {
        var tuple = ConnectionTuple()
        var control = Connection.none
        var next = Connection.none
    }
    private let keys: UnsafeMutablePointer<Key>
    private let heads: UnsafeMutablePointer<UInt32>
    private var free = Connection.none
    private var touched = 0
    private(set) var count = 0

    init() {
        keys = .allocate(capacity: Self.capacity)
        keys.initialize(repeating: Key(), count: Self.capacity)
        heads = .allocate(capacity: Self.buckets)
        heads.initialize(repeating: Connection.none, count: Self.buckets)
    }
    deinit {
        keys.deallocate()
        heads.deallocate()
    }

    private static func bucket(_ tuple: ConnectionTuple) -> Int {
        let mixed = (tuple.sourceLow &+ tuple.destinationLow &* 3 &+ UInt64(tuple.destinationPort) << 20) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 32) & (buckets - 1)
    }

    /// The sender's call ID of a packet with these addresses and this receiver's call ID; 0 if the call is unknown.
    func sourceKey(_ tuple: ConnectionTuple) -> UInt16 {
        guard count != 0 else { return 0 }
        var current = heads[Self.bucket(tuple)]
        while current != Connection.none {
            let key = keys[Int(current)].tuple
            if key.destinationPort == tuple.destinationPort, key.sourceLow == tuple.sourceLow, key.destinationLow == tuple.destinationLow,
               key.sourceHigh == tuple.sourceHigh, key.destinationHigh == tuple.destinationHigh, key.family == tuple.family { return key.sourcePort }
            current = keys[Int(current)].next
        }
        return 0
    }

    mutating func add(_ tuple: ConnectionTuple, of control: UInt32) -> Bool {
        let slot: UInt32
        if free != Connection.none {
            slot = free
            free = keys[Int(slot)].next
        } else {
            guard touched < Self.capacity else { return false }
            slot = UInt32(touched)
            touched += 1
        }
        let bucket = Self.bucket(tuple)
        keys[Int(slot)] = Key(tuple: tuple, control: control, next: heads[bucket])
        heads[bucket] = slot
        count += 1
        return true
    }

    mutating func removeAll(of control: UInt32) {
        guard count != 0 else { return }
        for bucket in 0 ..< Self.buckets {
            var previous = Connection.none
            var current = heads[bucket]
            while current != Connection.none {
                let following = keys[Int(current)].next
                if keys[Int(current)].control == control {
                    if previous == Connection.none { heads[bucket] = following } else { keys[Int(previous)].next = following }
                    keys[Int(current)].next = free
                    free = current
                    count -= 1
                } else {
                    previous = current
                }
                current = following
            }
        }
    }
}
