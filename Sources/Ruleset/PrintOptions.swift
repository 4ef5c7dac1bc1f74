// How a listing is printed: nft's output options.

/// nft's output options.
public struct PrintOptions: Sendable {
    /// `-s`: leave out counters' and quotas' state, timeouts' remaining time.
    public var stateless = false
    /// `-t`: leave out the elements of sets.
    public var terse = false
    /// `-a`
    public var handles = false
    /// `-p`: protocols by number.
    public var numericProtocol = false
    /// `-y`: chain priorities by number.
    public var numericPriority = false
    /// `-T`: times by number.
    public var numericTime = false
    /// `-n`: everything by number.
    public var numeric = false
    /// `-u`: users and groups by name.
    public var userNames = false
    /// `-S`: services by name.
    public var serviceNames = false
    public init() {}
}
