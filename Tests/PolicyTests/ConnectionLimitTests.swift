// `ct count`: whom a list holds, and when it lets go, in the order in which Linux 6.18 was seen to do it.
import Testing
@testable import Policy

/// A list, and the connections of the tests that live.
private struct List {
    var state = ConnectionLimitState(limit: 0, inverted: true, room: 64)
    var dead: Set<UInt64> = []

    init() { state.list = .allocate(capacity: 64) }

    /// How many the list holds after a packet of `connection` (0: of none) came by.
    mutating func count(_ connection: UInt64, isAssured: Bool = false, isDying: Bool = false) -> Int {
        var lookups = PolicyLookups()
        var dead = self.dead
        return withUnsafeMutablePointer(to: &dead) { pointer in
            lookups.userData = UnsafeMutableRawPointer(pointer)
            lookups.isConnectionAlive = { user, identifier in
                user.map { !$0.assumingMemoryBound(to: Set<UInt64>.self).pointee.contains(identifier) } ?? false
            }
            _ = state.passes(connection, isAssured: isAssured, isDying: isDying, lookups)
            return Int(state.count)
        }
    }
}

@Suite struct ConnectionLimitTests {
    @Test func newConnectionsAreAdded() {
        var list = List()
        #expect([list.count(1), list.count(2), list.count(1), list.count(3)] == [1, 2, 2, 3])
        list.state.list?.deallocate()
    }

    /// The visit ends at the packet's own connection: who died behind it still counts.
    @Test func visitEndsAtOwnConnection() {
        var list = List()
        #expect([list.count(1), list.count(5), list.count(2)] == [1, 2, 3])
        list.dead = [5]
        #expect([list.count(1), list.count(2), list.count(2)] == [3, 2, 2])
        list.state.list?.deallocate()
    }

    /// An assured connection's packet has the whole list looked through, and is not added itself.
    @Test func assuredConnectionClearsTheList() {
        var list = List()
        #expect([list.count(1), list.count(7), list.count(5)] == [1, 2, 3])
        list.dead = [5]
        #expect(list.count(7, isAssured: true) == 2)
        list.dead = [5, 7]
        #expect(list.count(7, isAssured: true) == 1)
        #expect(list.count(9, isAssured: true) == 1)
        list.state.list?.deallocate()
    }

    /// A reset before any answer ends its connection: the visit goes on behind it, and counts the packet once more.
    @Test func dyingConnectionDoesNotEndTheVisit() {
        var list = List()
        #expect([list.count(1), list.count(5), list.count(6)] == [1, 2, 3])
        list.dead = [1, 6]
        #expect(list.count(1, isDying: true) == 2)
        list.state.list?.deallocate()
    }

    /// A packet without connection counts until the next visit that comes by its place.
    @Test func packetWithoutConnectionIsForgotten() {
        var list = List()
        #expect([list.count(0), list.count(0), list.count(1), list.count(0), list.count(1), list.count(2)] == [1, 1, 1, 2, 2, 2])
        list.state.list?.deallocate()
    }
}
