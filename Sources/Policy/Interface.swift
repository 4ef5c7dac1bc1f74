// The interfaces that rules may name.
//
// Invariant: a packet's `input` and `output` are places in the list given to `CompiledRuleset`; the list may hold more
// than the ports (`lo`), behind them.

public struct Interface: Sendable, Hashable {
    public var name: String
    /// Linux's ifindex, or a number of our own where there is no kernel.
    public var index: UInt32
    /// ARPHRD_*: Ethernet 1, loopback 772.
    public var hardwareType: UInt16
    /// `ip link set ... group`; 0 is "default".
    public var group: UInt32
    /// rtnetlink kind (`veth`, `vlan`, ...; `meta iifkind`); empty for hardware.
    public var kind: String
    public init(name: String, index: UInt32, hardwareType: UInt16 = 1, group: UInt32 = 0, kind: String = "") {
        self.name = name
        self.index = index
        self.hardwareType = hardwareType
        self.group = group
        self.kind = kind
    }

    /// What the router sends to itself passes here (drivers/net/loopback.c).
    public static var loopback: Interface { Interface(name: "lo", index: 1, hardwareType: 772) }
}
