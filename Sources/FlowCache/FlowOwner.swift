// Which worker an entry belongs to, and what happens when another worker meets its packets.
//
// RSS spreads by the tuple, so one direction of a flow reaches one worker, and each direction its own (NAT changes the
// tuple in between; where it can, it chooses a port that makes up for that: Conntrack/ConnectionTracker+Steering.swift). That is how it goes most of the time and not a promise: a redirection table is changed while packets flow, a bond
// hands them round robin, a NIC hashes by addresses alone what it does not know. The counts are exact all the same:
//
//   - An entry belongs to the worker whose packet had it published. That stands in five bits of the entry that the key leaves free,
//     so whether an entry is the worker's own is part of comparing the key. The owner counts with plain loads and stores.
//   - Another worker's packet with the same key goes up (`FlowGuardReason.worker`). The slow path publishes an entry anew and retires the
//     old one, whose counts are read after every worker has been quiescent: the new one is the other worker's (a redirection
//     table has changed), or, if the old one was not a second old, `shared`: the direction is spread over workers.
//   - A shared entry is any worker's, counted in with locked additions. It stays shared until it is removed.
//   - The window of a TCP connection (Wire/TCPWindowCheck+Established.swift) has one writer a direction and takes no locked
//     instructions. So a direction whose window is checked changes workers only after the old entry was reclaimed, in the slow path
//     meanwhile; one that is spread over workers stays there (`show flows` says so).
//
// Workers from number 31 on own nothing and use shared entries only. What can an attacker do? Make RSS spread a flow that he can send:
// no, the NIC's key and table decide; fragments have no entry at all.

import Wire

/// The owner as it stands in `FlowEntry4.tuple` and `FlowEntry6.tuple`.
@frozen public struct FlowOwner: Equatable, Sendable {
    /// Bits 58 to 62; or, for a worker that owns nothing, a word that no entry has.
    public let word: UInt64

    @inlinable @inline(__always) init(word: UInt64) { self.word = word }

    /// The bits of an entry's tuple that are not the key's.
    @inlinable @inline(__always) static var mask: UInt64 { 0x7c00_0000_0000_0000 }
    /// Workers that can own an entry.
    static var count: Int { 31 }

    /// Any worker's.
    @inlinable public static var shared: FlowOwner { FlowOwner(word: mask) }
    /// What the worker of this number compares entries with. No frame has three tags.
    public static func reader(worker: Int) -> FlowOwner { worker < count ? FlowOwner(worker: worker) : FlowOwner(word: mask | 3 << 56) }

    /// Of an entry that is published for a packet of worker `worker`.
    public init(worker: Int) { word = worker < FlowOwner.count ? UInt64(worker) << 58 : FlowOwner.mask }
}

/// What a packet that wants its flow published comes to, by the worker that it came through.
public enum FlowClaim: Equatable, Sendable {
    /// To be inserted; it will replace or confirm this entry of the same key, if there is one.
    case granted(before: FlowHandle?)
    /// Not now: the entry of another worker must end first.
    case postponed
    /// Never while its packets come through several workers.
    case spread

    public var isGranted: Bool { if case .granted = self { true } else { false } }
}

extension FlowCache {
    /// How young an entry is that another worker's packet makes a shared one, in ticks: a second.
    static var youth: UInt32 { 954 }

    /// Settles whose the entry of `flow` will be; call it before `insert`. `last` is the handle that this direction of its connection had
    /// last, if it had one. An entry that stands in the way is withdrawn.
    public mutating func claim(_ flow: inout FlowDescription, last: FlowHandle?, now: Timestamp) -> FlowClaim {
        let checksWindow = flow.guard.checksTCPWindow && flow.connection != FlowDescription.untracked
        guard let before = lookup(flow.key), let (owner, published) = ownership(before) else {
            guard checksWindow, let last, let owner = retiredOwner(last), owner != flow.owner else { return .granted(before: nil) }
            events.handovers &+= 1
            return .postponed
        }
        guard owner != flow.owner else { return .granted(before: before) }
        events.handovers &+= 1
        if owner == .shared, !checksWindow {
            flow.owner = .shared
            return .granted(before: before)
        }
        let isYoung = FlowCache.tick(now) &- published < FlowCache.youth
        guard checksWindow else {
            if isYoung { flow.owner = .shared }
            return .granted(before: before)
        }
        remove(before)
        return isYoung ? .spread : .postponed
    }

    /// Whose a visible entry is; nil if it is not there any more.
    public func owner(of handle: FlowHandle) -> FlowOwner? { ownership(handle)?.owner }

    /// Whose a visible entry is, and when it was published.
    private func ownership(_ handle: FlowHandle) -> (owner: FlowOwner, published: UInt32)? {
        let family = family(isIPv6: handle.isIPv6)
        guard let found = family.pointee.locate(handle) else { return nil }
        return found.isOther ? family.pointee.other.origin(found.slot) : family.pointee.current.origin(found.slot)
    }

    /// Whose an entry was that is withdrawn and not yet reclaimed.
    private func retiredOwner(_ handle: FlowHandle) -> FlowOwner? {
        let family = family(isIPv6: handle.isIPv6)
        return family.pointee.current.retiredOwner(handle) ?? family.pointee.other.retiredOwner(handle)
    }
}

extension FlowTable {
    /// Whose a visible entry is, and the tick when it was published.
    func origin(_ slot: Int) -> (owner: FlowOwner, published: UInt32) { (owner(slot), records[slot].next) }

    /// Whose the entry was that `handle` names, if it is this table's, withdrawn and not yet reclaimed.
    func retiredOwner(_ handle: FlowHandle) -> FlowOwner? {
        guard isAlternate == handle.isAlternate, handle.place < slotCount, records[handle.place].tenants &+ 1 == handle.generation, !isLive(handle.place)
        else { return nil }
        return owner(handle.place)
    }
}
