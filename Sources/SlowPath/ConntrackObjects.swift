// What the ruleset's `ct helper`, `ct timeout` and `ct expectation` objects mean to the tracker, by number.
//
// Invariant: filled when a ruleset is put in force, so that a packet never looks up a name. A helper that Needletail does
// not have is number 0: the connection goes on without.
import Conntrack
import Policy
import Ruleset
import Wire

struct ConntrackObject {
    /// `ConnectionHelper` raw value; 0 for none.
    var helper: UInt16 = 0
    /// Timeout policy; 0 for none.
    var policy: UInt16 = 0
    var isExpectation = false
    var transportProtocol: UInt8 = 0
    /// nil for both.
    var family: Wire.AddressFamily? = nil
    var port: UInt16 = 0
    var seconds: UInt32 = 0
    var limit: UInt8 = 0
}

struct ConntrackObjects: ~Copyable {
    private static var capacity: Int { 512 }
    private let objects: UnsafeMutablePointer<ConntrackObject>
    private var count = 0

    init() { objects = .allocate(capacity: ConntrackObjects.capacity) }
    deinit { objects.deallocate() }

    /// The object that `ConntrackView.requestedHelper` or another names in its lower 16 bits.
    subscript(requested: UInt32) -> ConntrackObject {
        let number = Int(requested & 0xFFFF)
        return number < count ? objects[number] : ConntrackObject()
    }

    mutating func load(_ ruleset: CompiledRuleset, into tracker: UnsafeMutablePointer<ConnectionTracker>) {
        count = 0
        var policies: UInt16 = 0
        for (table, name, kind) in ruleset.conntrackObjects.prefix(ConntrackObjects.capacity) {
            var object = ConntrackObject()
            let value = ruleset.ruleset.tables[table].objects.first { $0.name == name && $0.value.kind == kind }?.value
            func family(_ written: Family) -> Wire.AddressFamily? { written == .ip ? .ipv4 : written == .ip6 ? .ipv6 : nil }
            switch value {
            case .ctHelper(let type, let transport, let network):
                object.transportProtocol = transport
                object.family = family(network)
                if let helper = ConnectionHelper(name: type), helper.reads(transport, object.family) { object.helper = helper.rawValue }
            case .ctTimeout(let transport, _, let states):
                object.transportProtocol = transport
                var timeouts = tracker.pointee.configuration.timeouts
                for (state, seconds) in states { _ = timeouts.set(state, transport, seconds: seconds) }
                if tracker.pointee.definePolicy(policies + 1, timeouts) {
                    policies += 1
                    object.policy = policies
                }
            case .ctExpectation(let transport, let network, let port, let milliseconds, let size):
                object.isExpectation = true
                object.transportProtocol = transport
                object.family = family(network)
                object.port = port
                // nft sends milliseconds, Linux counts them as seconds (nft_ct_expect_obj_eval): it waits a thousand times as long.
                object.seconds = UInt32(clamping: milliseconds)
                object.limit = size
            default: break
            }
            (objects + count).initialize(to: object)
            count += 1
        }
    }
}

extension SlowPath {
    /// Gives a new connection the helper, the timeouts or the expectation that a rule has named.
    /// - Returns: false: drop the packet, whose expectation another connection has already.
    mutating func applyObjects(_ changes: ConntrackView.Changes, _ transit: inout Transit) -> Bool {
        var isGranted = true
        let connection = transit.tracking.connection
        let family = transit.context.conntrack.family
        if changes.contains(.helper) {
            let object = conntrackObjects[transit.context.conntrack.requestedHelper]
            if let helper = ConnectionHelper(rawValue: object.helper) { tracker.pointee.assignHelper(connection, helper) }
        }
        if changes.contains(.timeout) {
            let object = conntrackObjects[transit.context.conntrack.requestedTimeout]
            tracker.pointee.assignPolicy(connection, object.policy)
        }
        if changes.contains(.expectation) {
            let object = conntrackObjects[transit.context.conntrack.requestedExpectation]
            if object.isExpectation, object.family == nil || object.family == family {
                isGranted = tracker.pointee.addExpectation(
                    transit.tracking, transportProtocol: object.transportProtocol, port: object.port, seconds: object.seconds, limit: Int(object.limit), now: transit.now)
            }
        }
        refreshView(&transit)
        return isGranted
    }
}
