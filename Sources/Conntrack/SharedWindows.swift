// Windows of TCP connections that workers forward by the flow cache, while the slow path judges a segment of theirs.
//
// A worker owns a direction's words and stores them plainly; a locked instruction a packet is more than the check may cost. So when a segment of a cached
// connection comes up (a dying TTL, a FIN, a field that a rule reads), three things hold together:
//   - the slow path works on a copy and brings in what the segment taught by compare-and-exchange (Wire/TCPWindow+Shared.swift): no worker's
//     update is undone;
//   - a worker that had read a word before may store less over it. So what the segment taught is kept here, and the slow path always judges by
//     memory and what it kept, whichever went further: what a worker refuses for want of it comes up and is judged right;
//   - after every worker has been quiescent, no such store is under way any more. If memory still has all that was kept, it is dropped; if not, it is brought in again
//     and waits for another time.
// A segment that sets the window back or teaches it anew (a SYN/ACK that resynchronises, a flow that goes to the NIC) does not merge. Then the slow path takes the window
// over: in memory both ends' windows are 0, by which no worker accepts anything, and after every worker has been quiescent the whole window, as the note has it by then, is put
// back.
// `Tests/Models/window.pml` is the protocol as a model.
//
// Invariant: one thread, the slow path's. When is a note refused? Never: it takes the place of another connection's (there are 1024, by connection number), which was brought in
// before; what can be lost by that is one update of one connection that a worker was about to overwrite in those nanoseconds. What can an attacker do? Only that.
import Wire

struct SharedWindows: ~Copyable {
    private struct Note {
        var connection = Connection.none
        var generation: UInt32 = 0
        /// The window itself, which memory does not have, not only how far it went at least.
        var isWhole = false
        /// It was there before the grace period that is under way began.
        var isCovered = false
        var window = TCPWindowPair()
    }
    private static let capacity = 1024
    private let notes: UnsafeMutablePointer<Note>
    /// Places of notes, the first `count`.
    private let places: UnsafeMutablePointer<UInt16>
    private(set) var count = 0
    /// The copy that a segment is judged by.
    let scratch: UnsafeMutablePointer<TCPWindowPair>

    init() {
        notes = .allocate(capacity: Self.capacity)
        notes.initialize(repeating: Note(), count: Self.capacity)
        places = .allocate(capacity: Self.capacity)
        places.initialize(repeating: 0, count: Self.capacity)
        scratch = .allocate(capacity: 1)
        scratch.initialize(to: TCPWindowPair())
    }

    deinit {
        notes.deallocate()
        places.deallocate()
        scratch.deallocate()
    }

    private func note(_ index: UInt32) -> UnsafeMutablePointer<Note> { notes + Int(index) % Self.capacity }

    /// The window as the slow path knows it.
    func view(_ index: UInt32, _ connection: UnsafeMutablePointer<Connection>) -> TCPWindowPair {
        var window = TCPWindowPair(shared: Self.window(connection))
        let note = note(index)
        guard note.pointee.connection == index, note.pointee.generation == connection.pointee.generation else { return window }
        if note.pointee.isWhole {
            window = note.pointee.window
            window.takeOwnBytes(of: Self.window(connection))
        } else {
            window.raise(by: note.pointee.window)
        }
        return window
    }

    /// Brings in what made `after` of `before`, a view.
    mutating func commit(_ index: UInt32, in pool: UnsafeMutablePointer<Connection>, from before: TCPWindowPair, to after: TCPWindowPair) {
        let connection = pool + Int(index)
        let note = note(index), memory = Self.window(connection)
        let isKnown = note.pointee.connection == index && note.pointee.generation == connection.pointee.generation
        let wasWhole = isKnown && note.pointee.isWhole
        let isWhole = wasWhole || after.replaces(before)
        if isWhole { TCPWindow.close(memory, rest: after) } else { TCPWindow.merge(from: before, to: after, into: memory) }
        guard isKnown || isWhole || !before.covers(after) else { return }
        if !isKnown { makeRoom(note, at: UInt16(Int(index) % Self.capacity), pool) }
        // A window that was taken over is put back after one grace period, however many segments come meanwhile.
        note.pointee = Note(connection: index, generation: connection.pointee.generation, isWhole: isWhole, isCovered: wasWhole && note.pointee.isCovered, window: after)
    }

    private mutating func makeRoom(_ note: UnsafeMutablePointer<Note>, at place: UInt16, _ pool: UnsafeMutablePointer<Connection>) {
        guard note.pointee.connection != Connection.none else {
            places[count] = place
            count += 1
            return
        }
        putBack(note, pool + Int(note.pointee.connection))
    }

    /// Puts the window of a note back into memory, if the note has it.
    private func putBack(_ note: UnsafeMutablePointer<Note>, _ connection: UnsafeMutablePointer<Connection>) {
        guard note.pointee.isWhole, connection.pointee.generation == note.pointee.generation else { return }
        var whole = note.pointee.window
        whole.takeOwnBytes(of: Self.window(connection))
        TCPWindow.replace(Self.window(connection), by: whole)
    }

    /// A grace period begins; true if it is needed.
    mutating func beginGracePeriod() -> Bool {
        for place in 0 ..< count { notes[Int(places[place])].isCovered = true }
        return count > 0
    }

    /// Every worker has been quiescent since `beginGracePeriod`.
    mutating func endGracePeriod(_ pool: UnsafeMutablePointer<Connection>) {
        var place = 0
        while place < count {
            let note = notes + Int(places[place])
            let connection = pool + Int(note.pointee.connection)
            if note.pointee.isCovered, isSettled(note, connection) {
                note.pointee = Note()
                count -= 1
                places[place] = places[count]
            } else {
                place += 1
            }
        }
    }

    /// Whether memory has what the note says, or was given it; if not, the note has to wait again.
    private func isSettled(_ note: UnsafeMutablePointer<Note>, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
        guard connection.pointee.generation == note.pointee.generation else { return true }
        let memory = TCPWindowPair(shared: Self.window(connection))
        if note.pointee.isWhole {
            guard memory.isClosed else {
                TCPWindow.close(Self.window(connection), rest: memory)
                return false
            }
            putBack(note, connection)
            return true
        }
        if memory.covers(note.pointee.window) { return true }
        var raised = memory
        raised.raise(by: note.pointee.window)
        TCPWindow.merge(from: memory, to: raised, into: Self.window(connection))
        return false
    }

    /// The record's first field.
    private static func window(_ connection: UnsafeMutablePointer<Connection>) -> UnsafeMutablePointer<TCPWindowPair> {
        UnsafeMutableRawPointer(connection).assumingMemoryBound(to: TCPWindowPair.self)
    }
}
