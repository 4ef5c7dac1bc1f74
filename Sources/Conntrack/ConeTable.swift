// Endpoint-independent mappings (RFC 4787, "full cone"): a client's address and port keep one outer address and port
// towards everybody, nobody else gets those, and what anybody sends to them reaches the client.
//
// An extension that Linux does not have: off unless the configuration names a port for it, and for UDP alone. A mapping
// is made by a client's first outgoing connection, and goes with the last of its outgoing connections; what comes in does
// not keep it. A new mapping is refused when all are taken: the connection is then translated as usual, without one, and
// counted. A client inside can take them all; nobody outside can make or hold one.
//
// Invariant: no two mappings share an inner or an outer endpoint; `count` mappings are in both tables.
import Wire

struct ConeMapping {
    /// Protocol, zone, and the client as the source.
    var inner = ConnectionTuple()
    var outer = IPAddress(ipv4: 0)
    var outerPort: UInt16 = 0
    /// The caller's number of the interface outside.
    var interface: UInt32 = 0
    /// Outgoing connections that use it.
    var users: UInt32 = 0
    var nextInner = Connection.none
    var nextOuter = Connection.none
}

struct ConeTable: ~Copyable {
    let capacity: Int
    private let mappings: UnsafeMutablePointer<ConeMapping>
    private let byInner: UnsafeMutablePointer<UInt32>
    private let byOuter: UnsafeMutablePointer<UInt32>
    private let mask: Int
    private let hash: SeededHash
    private var free = Connection.none
    private var touched = 0
    private(set) var count = 0

    init(capacity: Int, hash: SeededHash) {
        self.capacity = capacity
        self.hash = hash
        var buckets = 16
        while buckets < capacity { buckets *= 2 }
        mask = buckets - 1
        mappings = .allocate(capacity: max(1, capacity))
        byInner = .allocate(capacity: buckets)
        byInner.initialize(repeating: Connection.none, count: buckets)
        byOuter = .allocate(capacity: buckets)
        byOuter.initialize(repeating: Connection.none, count: buckets)
    }
    deinit {
        mappings.deallocate()
        byInner.deallocate()
        byOuter.deallocate()
    }

    subscript(index: UInt32) -> ConeMapping { mappings[Int(index)] }

    private func bucket(_ address: IPAddress, _ port: UInt16, _ tuple: ConnectionTuple) -> Int {
        Int(hash(address.high, address.low, UInt64(port) << 32 | UInt64(tuple.transportProtocol) << 8 | UInt64(tuple.family.rawValue), UInt64(tuple.zone), 5)) & mask
    }

    private static func sharesKind(_ mapping: ConeMapping, _ tuple: ConnectionTuple) -> Bool {
        mapping.inner.transportProtocol == tuple.transportProtocol && mapping.inner.zone == tuple.zone && mapping.inner.family == tuple.family
    }

    /// The mapping of the tuple's source on this interface.
    func find(source tuple: ConnectionTuple, interface: UInt32) -> UInt32? {
        var current = byInner[bucket(tuple.source, tuple.sourcePort, tuple)]
        while current != Connection.none {
            let mapping = mappings[Int(current)]
            if ConeTable.sharesKind(mapping, tuple), mapping.inner.source == tuple.source, mapping.inner.sourcePort == tuple.sourcePort, mapping.interface == interface { return current }
            current = mapping.nextInner
        }
        return nil
    }

    /// The mapping with this outer endpoint.
    func find(outer address: IPAddress, _ port: UInt16, like tuple: ConnectionTuple) -> UInt32? {
        guard count != 0 else { return nil }
        var current = byOuter[bucket(address, port, tuple)]
        while current != Connection.none {
            let mapping = mappings[Int(current)]
            if ConeTable.sharesKind(mapping, tuple), mapping.outer == address, mapping.outerPort == port { return current }
            current = mapping.nextOuter
        }
        return nil
    }

    /// A new mapping with one user; nil if there is no room or the outer endpoint is somebody's.
    mutating func add(source tuple: ConnectionTuple, outer address: IPAddress, _ port: UInt16, interface: UInt32) -> UInt32? {
        guard find(outer: address, port, like: tuple) == nil else { return nil }
        let index: UInt32
        if free != Connection.none {
            index = free
            free = mappings[Int(index)].nextInner
        } else {
            guard touched < capacity else { return nil }
            index = UInt32(touched)
            touched += 1
        }
        var mapping = ConeMapping(inner: tuple, outer: address, outerPort: port, interface: interface, users: 1)
        let inner = bucket(tuple.source, tuple.sourcePort, tuple), outer = bucket(address, port, tuple)
        mapping.nextInner = byInner[inner]
        mapping.nextOuter = byOuter[outer]
        (mappings + Int(index)).initialize(to: mapping)
        byInner[inner] = index
        byOuter[outer] = index
        count += 1
        return index
    }

    func hold(_ index: UInt32) { mappings[Int(index)].users += 1 }

    /// One user less; the mapping goes with the last.
    mutating func release(_ index: UInt32) {
        mappings[Int(index)].users -= 1
        let mapping = mappings[Int(index)]
        guard mapping.users == 0 else { return }
        unlink(index, byInner + bucket(mapping.inner.source, mapping.inner.sourcePort, mapping.inner), \.nextInner)
        unlink(index, byOuter + bucket(mapping.outer, mapping.outerPort, mapping.inner), \.nextOuter)
        mappings[Int(index)].nextInner = free
        free = index
        count -= 1
    }

    private mutating func unlink(_ index: UInt32, _ head: UnsafeMutablePointer<UInt32>, _ next: WritableKeyPath<ConeMapping, UInt32>) {
        if head.pointee == index {
            head.pointee = mappings[Int(index)][keyPath: next]
            return
        }
        var current = head.pointee
        while current != Connection.none {
            let following = mappings[Int(current)][keyPath: next]
            if following == index {
                mappings[Int(current)][keyPath: next] = mappings[Int(index)][keyPath: next]
                return
            }
            current = following
        }
    }
}

extension ConnectionTracker {
    /// Binds the source of an unconfirmed connection that leaves by a port with endpoint-independent mapping.
    /// - Parameter interface: the caller's number of that port, other than 0.
    /// - Returns: as `setUpNAT`.
    public mutating func setUpConeNAT(_ index: UInt32, range: NATRange, interface: UInt32, masqueradeInterface: UInt32, now: Timestamp) -> Bool {
        let original = connection(index).pointee.original
        guard original.transportProtocol == IPProtocol.udp, cone.capacity > 0, !connection(index).pointee.status.contains(.sourceNATDone) else {
            return setUpNAT(index, .source, range: range, masqueradeInterface: masqueradeInterface, now: now)
        }
        if let known = cone.find(source: original, interface: interface) {
            let mapping = cone[known]
            var tuple = original
            tuple.source = mapping.outer
            tuple.sourcePort = mapping.outerPort
            // The rule may have changed since: then a new mapping is made once the old one's connections are gone.
            if range.admitsSource(tuple) {
                guard setUpNAT(index, .source, range: NATRange(mapping.outer).ports(mapping.outerPort), masqueradeInterface: masqueradeInterface, now: now) else { return false }
                pool[Int(index)].cone = known
                cone.hold(known)
                return true
            }
            return setUpNAT(index, .source, range: range, masqueradeInterface: masqueradeInterface, now: now)
        }
        keepsOffCones = true
        defer { keepsOffCones = false }
        guard setUpNAT(index, .source, range: range, masqueradeInterface: masqueradeInterface, now: now) else { return false }
        let reply = pool[Int(index)].reply
        if let made = cone.add(source: original, outer: reply.destination, reply.destinationPort, interface: interface) {
            pool[Int(index)].cone = made
        } else {
            statistics.coneMappingsRefused &+= 1
        }
        return true
    }

    /// Where a new connection from outside goes whose destination is a mapping's outer endpoint on this interface.
    public mutating func coneTarget(_ tracking: Tracking, interface: UInt32) -> NATRange? {
        guard cone.count != 0, tracking.hasConnection else { return nil }
        let original = pool[Int(tracking.connection)].original
        guard original.transportProtocol == IPProtocol.udp, let found = cone.find(outer: original.destination, original.destinationPort, like: original) else { return nil }
        let mapping = cone[found]
        guard mapping.interface == interface else { return nil }
        return NATRange(mapping.inner.source).ports(mapping.inner.sourcePort)
    }

    /// Mappings in use.
    public var coneMappingCount: Int { cone.count }
}
