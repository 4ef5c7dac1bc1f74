// Addresses and ports that dead connections still have: a rule of theirs may be in a NIC, and would take the packets of whoever gets them next.
//
// Invariant: a connection whose flow was offered to a NIC leaves its reply tuple here when it dies, until the offer has ended (`release`). NAT gives
// the tuple to nobody meanwhile, but to the same client for the same connection, whose packets the rule treats rightly.
// When is one refused? When the table is full: as many tuples as were asked for at the start; that connection's port is then free at once, and counted
// (`refused`). Nothing is evicted. Can an attacker fill it? With as many connections as the NIC holds rules for that all die within the second that a rule takes to go.
import Wire

struct HeldTuples: ~Copyable {
    private struct Node {
        var reply = ConnectionTuple()
        var original = ConnectionTuple()
        var hash: UInt32 = 0
        var connection = Connection.none
        var generation: UInt32 = 0
        /// Of the chains by tuple and by connection; `nextByTuple` also of the free list.
        var nextByTuple = Connection.none
        var nextByConnection = Connection.none
    }
    private static let buckets: UInt32 = 1024
    private let capacity: Int
    private let nodes: UnsafeMutablePointer<Node>
    private let byTuple: UnsafeMutablePointer<UInt32>
    private let byConnection: UnsafeMutablePointer<UInt32>
    private var free: UInt32
    private(set) var count = 0
    private(set) var refused: UInt64 = 0

    init(capacity: Int) {
        self.capacity = capacity
        nodes = .allocate(capacity: capacity)
        nodes.initialize(repeating: Node(), count: capacity)
        for place in 0 ..< capacity where place + 1 < capacity { nodes[place].nextByTuple = UInt32(place + 1) }
        free = capacity > 0 ? 0 : Connection.none
        let buckets = capacity > 0 ? Int(Self.buckets) : 0
        byTuple = .allocate(capacity: buckets)
        byTuple.initialize(repeating: Connection.none, count: buckets)
        byConnection = .allocate(capacity: buckets)
        byConnection.initialize(repeating: Connection.none, count: buckets)
    }

    deinit {
        nodes.deallocate()
        byTuple.deallocate()
        byConnection.deallocate()
    }

    /// Holds the tuples of connection `index`, which dies. `hash` is that of its reply tuple.
    mutating func hold(_ index: UInt32, _ connection: Connection, hash: UInt32) {
        guard free != Connection.none else {
            refused &+= 1
            return
        }
        let place = free, tupleBucket = Int(hash % Self.buckets), connectionBucket = Int(index % Self.buckets)
        free = nodes[Int(place)].nextByTuple
        nodes[Int(place)] = Node(
            reply: connection.reply, original: connection.original, hash: hash, connection: index, generation: connection.generation,
            nextByTuple: byTuple[tupleBucket], nextByConnection: byConnection[connectionBucket])
        byTuple[tupleBucket] = place
        byConnection[connectionBucket] = place
        count += 1
    }

    /// Whether a new connection with this original tuple may not have the reply tuple.
    func holds(_ reply: ConnectionTuple, hash: UInt32, against original: ConnectionTuple) -> Bool {
        var place = byTuple[Int(hash % Self.buckets)]
        while place != Connection.none {
            let node = nodes + Int(place)
            if node.pointee.hash == hash, node.pointee.reply == reply, node.pointee.original != original { return true }
            place = node.pointee.nextByTuple
        }
        return false
    }

    /// The offer of the connection of that generation has ended.
    mutating func release(_ index: UInt32, generation: UInt32) {
        guard count > 0 else { return }
        let bucket = Int(index % Self.buckets)
        var before = Connection.none, place = byConnection[bucket]
        while place != Connection.none {
            let node = nodes[Int(place)]
            if node.connection == index, node.generation == generation {
                if before == Connection.none { byConnection[bucket] = node.nextByConnection } else { nodes[Int(before)].nextByConnection = node.nextByConnection }
                unlinkFromTuples(place, hash: node.hash)
                nodes[Int(place)] = Node(nextByTuple: free)
                free = place
                count -= 1
                return
            }
            before = place
            place = node.nextByConnection
        }
    }

    private func unlinkFromTuples(_ place: UInt32, hash: UInt32) {
        let bucket = Int(hash % Self.buckets), next = nodes[Int(place)].nextByTuple
        guard byTuple[bucket] != place else { return byTuple[bucket] = next }
        var before = byTuple[bucket]
        while nodes[Int(before)].nextByTuple != place { before = nodes[Int(before)].nextByTuple }
        nodes[Int(before)].nextByTuple = next
    }
}
