// The manager's record of one flow: both directions, their handles and their counters.
//
// Invariant: a handle is non-zero exactly while the NIC may hold the rule; a record with a non-zero handle is never
// freed. Counters are absolute, and `credited` moves only when the credit was handed over, so nothing is lost.
import CDPDK
import FlowCache
import Wire

/// One direction's rule.
struct OffloadDirection {
    var raw = nt_flow_rule()
    /// The port the rule is on, by its place in the manager's table.
    var adapter = 0
    var handle: UInt = 0
    /// A handle whose rule is gone and whose counter is still to be read, and when it is final.
    var counter: UInt = 0
    var settleAt: Timestamp = 0
    var linkHeaderLength = 14
    /// What the NIC's counter said when it was credited last.
    var creditedPackets: UInt64 = 0
    var creditedBytes: UInt64 = 0
    /// Credited since installation.
    var totalPackets: UInt64 = 0
    var totalBytes: UInt64 = 0
    var lastSeen: Timestamp = 0
    /// Software saw packets that this rule should have taken, since the last poll.
    var softwareHit = false
    /// Polls in a row that found software hits and no hit of the rule.
    var suspicion = 0
}

struct OffloadRecord {
    var candidate: OffloadCandidate
    var state = OffloadState.none
    /// Bumped when the record is freed, so that an entry of a queue never reaches its next tenant.
    var serial: UInt32 = 0
    /// The manager's epoch when the flow was offered.
    var epoch: UInt32 = 0
    var original = OffloadDirection()
    var reply = OffloadDirection()
    /// What the slow path is told when both rules are gone: `removed` or `refused`, with a reason.
    var farewell = OffloadEvent.Kind.removed
    var refusal = OffloadRefusal.withdrawn
    var retryAfter: Timestamp = 0
    var installedAt: Timestamp = 0
    /// Of both directions, over the last poll period.
    var packetsPerSecond: UInt32 = 0
    /// The rules were made anew after a loss.
    var wasRepaired = false
    var lastPoll: Timestamp = 0
    var nextPoll: Timestamp = 0
    /// Failed attempts to destroy, and when to try again.
    var destroyAttempts = 0
    var nextDestroy: Timestamp = 0

    var hasHandle: Bool { original.handle != 0 || reply.handle != 0 }
    var isSettling: Bool { original.counter != 0 || reply.counter != 0 }
}

/// A queue of records in order of arrival; entries of freed records are skipped by their serial.
struct RecordQueue {
    private var entries: [(index: Int, serial: UInt32)] = []
    private var head = 0

    var count: Int { entries.count - head }

    mutating func append(_ index: Int, serial: UInt32) { entries.append((index, serial)) }

    var first: (index: Int, serial: UInt32)? { head < entries.count ? entries[head] : nil }

    mutating func removeFirst() {
        head += 1
        // Amortised constant: moves at most as many entries as were taken since the last move.
        if head >= 1024 && head * 2 >= entries.count {
            entries.removeFirst(head)
            head = 0
        }
    }
}
