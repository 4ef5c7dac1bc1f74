// One packet on its way through the pipeline, with everything that the stages have found out about it.
//
// Invariant: `context.parsed` describes `context.packet` at all times; whoever moves or rewrites bytes keeps both in step.
import Conntrack
import FlowCache
import Policy
import Routing
import Wire

struct Transit {
    /// What the rules see: the frame as it stands, its headers, marks, the view of its connection.
    var context: PacketContext
    /// Port that it came in by; `Transit.noPort` for a packet of our own.
    var ingress: PortIndex
    /// Port that it will leave by; `Transit.noPort` before routing and for local delivery.
    var egress: PortIndex = Transit.noPort
    /// The address to resolve on `egress`.
    var nextHop = IPAddress(ipv4: 0)
    /// Its number in the neighbour table; `FlowDescription.noNeighbour` if nobody is asked for it.
    var neighbour = FlowDescription.noNeighbour
    /// The route has no gateway: the packet goes to its destination, also where a rule changes that behind the routing decision.
    var isOnLink = false
    /// Largest IP packet that the route takes.
    var pathMTU = 1500
    var tracking = Tracking.unseen
    /// Length of the largest fragment that the packet was reassembled from; 0 if it came whole.
    var largestFragment = 0
    /// Whether a fragment had DF set: then it leaves in pieces no larger than those it came in.
    var fragmentsHadDontFragment = false
    /// IPv4 options that are to be completed on the way out.
    var options = IPv4OptionState()
    /// The pieces that it came in, in the reassembler's memory.
    var fragments = FragmentGeometry()
    /// The frame lies in the memory that the caller gave to `process`.
    var isInPlace: Bool
    /// The flow's key as the packet arrived, before any rewriting; nil if its kind is never cached.
    var arrivalKey: FlowKey?
    /// The tags that the packet leaves with.
    var departureTags = VLANStack()
    /// The PPPoE session that it leaves by, 0 for none.
    var departureSession: UInt16 = 0
    /// What the headers were on arrival, for the guards.
    var arrivalTCPFlags: UInt8 = 0
    var arrivalTrafficClass: UInt8 = 0
    var arrivalTimeToLive: UInt8 = 0
    /// Of a packet of our own: the port of the packet that it answers.
    var cause = Transit.noPort
    /// Conntrack has looked at the packet. If it found no connection, the flow's next packet may be judged otherwise, even
    /// where a rule then made this one untracked.
    var wasJudged = false
    /// Of a packet of our own: it leads to an address of ours, over `lo`.
    var isLooped = false
    /// It has come back.
    var isReturned = false
    /// The connection that this packet begins is synproxy's.
    var beginsSynproxy = false
    /// The ruleset asked for the packet not to be tracked (`notrack`).
    var isUntracked = false

    static var noPort: PortIndex { PortIndex.max }

    var packet: PacketBuffer {
        get { context.packet }
        set { context.packet = newValue }
    }
    var parsed: ParsedPacket {
        get { context.parsed }
        set { context.parsed = newValue }
    }
    var now: Timestamp { context.now }
    /// Made by the router itself.
    var isOwn: Bool { ingress == Transit.noPort }

    init(packet: PacketBuffer, ingress: PortIndex, now: Timestamp, isInPlace: Bool) {
        context = PacketContext(packet: packet, parsed: ParsedPacket())
        context.now = now
        context.input = ingress
        self.ingress = ingress
        self.isInPlace = isInPlace
    }
}

/// How a packet's way ended.
@frozen public enum Disposition: Equatable, Sendable {
    /// Sent; in place if the caller's frame is what is to be sent.
    case forwarded
    /// For the router itself, and consumed.
    case delivered
    /// Kept: a fragment, or waiting for a neighbour.
    case held
    case dropped(DropReason)
}
