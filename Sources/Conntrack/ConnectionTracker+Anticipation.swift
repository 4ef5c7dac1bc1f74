// What the tracker will look at for a packet that is to come, asked of the memory ahead of time: a new connection misses
// the cache half a dozen times, one miss after another, unless a batch of packets has its misses together.
//
// Invariant: nothing is changed and nothing decided here; a wrong guess costs time only.
import CIntrinsics
import Wire

/// What one packet's lookups will begin with.
@frozen public struct TrackerAnticipation: Sendable {
    public var hash: UInt32 = 0
    public var sourceHash: UInt32 = 0
    /// Of the answer, if NAT does what it did last.
    public var answerHash: UInt32 = 0
    /// A connection that stands in the way or may have to go.
    public var candidate: UInt32 = Connection.none
    public init() {}
}

extension ConnectionTracker {
    /// First: the buckets of a tuple of the default zone.
    @inline(__always)
    public mutating func anticipateBuckets(_ tuple: ConnectionTuple) -> TrackerAnticipation {
        var result = TrackerAnticipation()
        result.hash = hash.tuple(tuple)
        result.sourceHash = hash.source(tuple, zone: .default)
        ntl_prefetch_read(table + Int(result.hash & bucketMask))
        ntl_prefetch_read(bySource + Int(result.sourceHash & bucketMask))
        var answer = tuple
        if lastSourceRange.flags.contains(.addresses), lastSourceRange.minimumAddress.family == tuple.family, !lastSourceRange.admitsSource(tuple) {
            lastSourceRange.chooseAddress(&answer, .source, zone: .default)
        }
        result.answerHash = answer.inverted.map { hash.tuple($0) } ?? result.hash
        ntl_prefetch_read(table + Int(result.answerHash & bucketMask))
        return result
    }

    /// Then, when those have come: the records that they name. `incoming` packets are to come: if the table may be full by
    /// then, also the record of a connection that would be dropped early.
    @inline(__always)
    public mutating func anticipateRecords(_ anticipation: inout TrackerAnticipation, incoming: Int) {
        let source = bySource[Int(anticipation.sourceHash & bucketMask)]
        if source != Connection.none { ntl_prefetch_read(links + Int(source)) }
        let answer = table[Int(anticipation.answerHash & bucketMask)]
        if answer != Connection.none { ntl_prefetch_read(links + Int(answer >> 1)) }
        var node = table[Int(anticipation.hash & bucketMask)]
        if count &+ incoming >= configuration.maximumConnections {
            var step: UInt32 = 1
            while node == Connection.none && step < 32 {
                node = table[Int((anticipation.hash &+ step) & bucketMask)]
                step &+= 1
            }
        }
        guard node != Connection.none else { return }
        anticipation.candidate = node >> 1
        ntl_prefetch_read(links + Int(node >> 1))
        request(node >> 1)
    }

    /// At last, when the records have come: what taking the candidate out of the table will look at. True if the packet is the
    /// candidate's.
    @inline(__always)
    public mutating func anticipateEnd(_ anticipation: TrackerAnticipation, incoming: Int) -> Bool {
        guard anticipation.candidate != Connection.none else { return false }
        let own = links[Int(anticipation.candidate)]
        if own.original.hash == anticipation.hash || own.reply.hash == anticipation.hash { return true }
        guard count &+ incoming >= configuration.maximumConnections else { return false }
        ntl_prefetch_read(table + Int(own.original.hash & bucketMask))
        ntl_prefetch_read(table + Int(own.reply.hash & bucketMask))
        ntl_prefetch_read(bySource + Int(own.source.hash & bucketMask))
        return false
    }

    /// All of a record: it is compared, and if it goes, a new connection comes into its place soon.
    @inline(__always)
    private mutating func request(_ index: UInt32) {
        let record = UnsafeMutableRawPointer(pool + Int(index))
        ntl_prefetch_write(record)
        ntl_prefetch_write(record + 64)
        ntl_prefetch_write(record + 128)
        ntl_prefetch_write(record + 192)
    }

    /// All of the record that the next new connection will fill.
    @inline(__always)
    mutating func requestFree() {
        guard freeHead != Connection.none else { return }
        request(freeHead)
    }
}
