// How a resized table reaches the workers.
//
// Memory that writer and readers share: the ruleset's generation (4 bytes), the number of the last publication (at 8), the watched
// ports (at 16), and two places for a publication's views (64 bytes each, at 64), used in turn.
//
// Publication: the writer writes the views into the place of the next number, then stores the number with release. A reader loads
// the number with acquire after it has reported quiescence, and copies the views of that number. It reports before it loads: a
// report that came after could be taken for the word of a reader that knows the new views. The writer uses a place again two
// publications later, and lets every reader report between two publications, so no place is written while it may be read.
import Synchronization

extension FlowCacheReader {
    static var sharedBytes: Int { 256 }
    static var publicationOffset: Int { 8 }
    @inlinable static var watchOffset: Int { 16 }
    static func viewsOffset(_ publication: UInt64) -> Int { 64 + Int(publication & 1) * 64 }

    /// Takes up the tables of now. The caller holds no pointer into the tables, and has reported quiescence since it last did, if it
    /// reports any; where it reports none, it calls this before each burst.
    public mutating func refresh() {
        // Acquire, pairs with the release store of `FlowCache.publishViews`.
        let newest = shared.atomic64(FlowCacheReader.publicationOffset).pointee.load(ordering: .acquiring)
        guard newest != publication else { return }
        publication = newest
        let views = (shared + FlowCacheReader.viewsOffset(newest)).assumingMemoryBound(to: FlowTableView.self)
        ipv4 = views[0]
        ipv6 = views[1]
    }
}

extension FlowCache {
    /// Tells readers of the current tables.
    func publishViews() {
        let number = shared.atomic64(FlowCacheReader.publicationOffset)
        let next = number.pointee.load(ordering: .relaxed) &+ 1
        let views = (shared + FlowCacheReader.viewsOffset(next)).assumingMemoryBound(to: FlowTableView.self)
        views.initialize(to: families[0].current.view)
        (views + 1).initialize(to: families[1].current.view)
        // Release, pairs with the acquiring load of `FlowCacheReader.refresh`.
        number.pointee.store(next, ordering: .releasing)
    }
}
