// The questions that rules ask outside of the packet: routes, own addresses, living connections.
//
// Invariant: C function pointers and one user pointer, so that asking costs one indirect call and no allocation. A
// missing function answers "no".
import Wire

/// What a `fib` expression asks (`struct nft_fib`).
@frozen public struct FIBQuery: Sendable {
    /// The address in question: the packet's source (`saddr`) or destination (`daddr`).
    public var address = IPAddress(ipv4: 0)
    /// The other address of the packet, the hint for source validation.
    public var other = IPAddress(ipv4: 0)
    public var isSource = false
    /// `. mark`: look up with this mark, else 0.
    public var mark: UInt32 = 0
    /// `. iif` or `. oif`: the answer has to be on this interface; `PacketContext.noInterface` for any.
    public var interface: UInt16 = 0xffff
    /// The interface that the packet is on: link-local addresses are meant there.
    public var device: UInt16 = 0xffff
    public var transportProtocol: UInt8 = 0
    public var wantsType = false
    @inlinable public init() {}
}

@frozen public struct FIBAnswer: Sendable {
    /// False if there is no route (or none on the interface asked for).
    public var found = false
    /// Interface on which the address is reached (place in the interface list).
    public var interface: UInt16 = 0xffff
    /// Linux's RTN_*: unspec 0, unicast 1, local 2, broadcast 3, anycast 4, multicast 5, blackhole 6, unreachable 7, prohibit 8.
    public var addressType: UInt8 = 0
    @inlinable public init() {}
}

@frozen public struct PolicyLookups {
    public var userData: UnsafeMutableRawPointer?
    /// `(userData, UnsafePointer<FIBQuery>, UnsafeMutablePointer<FIBAnswer>)`.
    public var fib: (@convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer, UnsafeMutableRawPointer) -> Void)?
    /// `(userData, UnsafePointer<IPAddress>)` → MTU in bytes of the route to the address, 0 if there is none.
    public var routeMTU: (@convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer) -> UInt32)?
    /// `(userData, ConntrackView.identifier)` → true while the connection lives (`ct count`).
    public var isConnectionAlive: (@convention(c) (UnsafeMutableRawPointer?, UInt64) -> Bool)?
    @inlinable public init() {
        userData = nil
        fib = nil
        routeMTU = nil
        isConnectionAlive = nil
    }
}
