// The seam between the FIB and the structure that finds the longest prefix: the reference table (PrefixTrie) or DPDK's
// rte_fib and rte_fib6.
//
// Invariant: a backend maps prefixes to 32-bit values and knows nothing else. The protocol is for configuration time;
// the packet path calls `lookup`, a C function pointer with its context, which must not allocate, lock or block.
import Wire

/// Finds the longest prefix for `count` destinations. IPv4: `destinations` are `UInt32`s in host order; IPv6: 16 bytes
/// each, in network order. `values[i]` receives the value, or `FIBLookup.noRoute`.
/// These are the argument shapes of rte_fib_lookup_bulk and rte_fib6_lookup_bulk.
@frozen public struct FIBLookup: @unchecked Sendable {
    public typealias Function = @convention(c) (_ context: UnsafeMutableRawPointer, _ destinations: UnsafeRawPointer, _ values: UnsafeMutablePointer<UInt64>, _ count: Int32) -> Void
    public var context: UnsafeMutableRawPointer
    public var function: Function
    @inlinable public init(context: UnsafeMutableRawPointer, function: @escaping Function) {
        self.context = context
        self.function = function
    }
    /// The value for "no prefix matches". Backends use it as their default next hop.
    @inlinable public static var noRoute: UInt64 { 0 }

    @inlinable @inline(__always)
    public func callAsFunction(_ destination: IPAddress) -> UInt64 {
        var value = FIBLookup.noRoute
        if destination.family == .ipv4 {
            var word = destination.ipv4
            function(context, &word, &value, 1)
        } else {
            var words = (destination.high.bigEndian, destination.low.bigEndian)
            function(context, &words, &value, 1)
        }
        return value
    }
}

/// A longest-prefix table of one family.
public protocol FIBBackend: AnyObject {
    var family: AddressFamily { get }
    /// Adds a prefix or replaces its value. `prefix` has no host bits; `value` is not 0.
    func insert(_ prefix: IPPrefix, value: UInt32) throws(RoutingError)
    /// Removes a prefix; nothing happens if it is absent.
    func remove(_ prefix: IPPrefix) throws(RoutingError)
    /// Valid as long as the backend lives.
    var lookup: FIBLookup { get }
}
