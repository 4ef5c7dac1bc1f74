// IPv4 options of packets from the wire: checked behind prerouting and the route lookup, with a parameter problem for
// what is wrong (ip_options_compile), and filled in on the way out (ip_forward_options).
//
// Record route and timestamp are written to, as Linux does. Source routing is refused (accept_source_route=0). Router
// alert and unknown options pass. What they answer with: IPv4Options+Answers.
//
// Invariant: only bytes of the options are changed, within the header that the parser has checked; the header checksum
// is right behind the second step, and the transport checksum does not depend on them.
import Wire

/// What the second step has to know of the first.
public struct IPv4OptionState: Sendable {
    /// Offsets from the IP header of what was found; 0 if there is none.
    var recordRoute = 0
    var timestamp = 0
    var cipso = 0
    /// Record route took our address, and takes another one on the way out; a timestamp with addresses took ours.
    var recordRouteNeedsAddress = false
    var timestampNeedsAddress = false
    /// A timestamp took the time.
    var timestampNeedsTime = false
    /// Bytes were changed: `forwardOptions` makes the header checksum right. Linux leaves it wrong until then, which shows
    /// where an error quotes the header.
    var isChanged = false
    public init() {}

    /// The header checksum does not hold at the moment.
    public var isStale: Bool { isChanged }
}

extension Router {
    private enum Option {
        static let end: UInt8 = 0, noOperation: UInt8 = 1, recordRoute: UInt8 = 7, timestamp: UInt8 = 68, looseSourceRoute: UInt8 = 131
        static let cipso: UInt8 = 134, strictSourceRoute: UInt8 = 137, routerAlert: UInt8 = 148
    }

    /// Checks and updates the options of a packet that has come in.
    ///
    /// - Parameters:
    ///   - localAddress: our address towards the packet's sender (`errorSource`).
    ///   - millisecondsOfDay: since midnight UT, for timestamps.
    ///   - error: set if a parameter problem is to be sent.
    /// - Returns: `.none` or `.ipv4BadOption`.
    public func receiveOptions(
        _ packet: PacketBuffer, _ parsed: ParsedPacket, localAddress: IPAddress, millisecondsOfDay: UInt32, state: inout IPv4OptionState, error: inout ICMPError?
    ) -> DropReason {
        let start = Int(parsed.networkOffset)
        let end = start + Int(parsed.networkHeaderLength)
        guard parsed.family == .ipv4, end > start + 20 else { return .none }
        var option = start + 20
        var changed = false
        var seen: (recordRoute: Bool, timestamp: Bool, sourceRoute: Bool, cipso: Bool) = (false, false, false, false)
        var problem: Int? = nil
        walk: while option < end {
            let type = packet.load8(option)
            if type == Option.end {
                // Nothing but zeros may follow.
                for byte in option..<end where packet.load8(byte) != 0 {
                    packet.store8(0, at: byte)
                    changed = true
                }
                break
            }
            if type == Option.noOperation {
                option += 1
                continue
            }
            guard option + 2 <= end else {
                problem = option
                break
            }
            let length = Int(packet.load8(option + 1))
            guard length >= 2, option + length <= end else {
                problem = option
                break
            }
            switch type {
            case Option.looseSourceRoute, Option.strictSourceRoute:
                problem = seen.sourceRoute ? option : length < 3 ? option + 1 : packet.load8(option + 2) < 4 ? option + 2 : nil
                seen.sourceRoute = true
            case Option.recordRoute:
                let pointer = length >= 3 ? packet.load8(option + 2) : 0
                problem = seen.recordRoute ? option : record(packet, option, length, localAddress, &changed)
                if problem == nil {
                    state.recordRoute = option - start
                    state.recordRouteNeedsAddress = packet.load8(option + 2) != pointer
                }
                seen.recordRoute = true
            case Option.timestamp:
                problem = seen.timestamp ? option : stamp(packet, option, length, localAddress, millisecondsOfDay, &state, &changed)
                if problem == nil { state.timestamp = option - start }
                seen.timestamp = true
            case Option.routerAlert:
                if length < 4 { problem = option + 1 }
            case Option.cipso:
                problem = seen.cipso ? option : cipsoProblem(option, length)
                // Linux quotes the option in the error.
                if !seen.cipso { state.cipso = option - start }
                seen.cipso = true
            default: break
            }
            if problem != nil { break walk }
            option += length
        }
        if let problem {
            error = .parameterProblem(ipv4: UInt8(truncatingIfNeeded: problem - start))
            return .ipv4BadOption
        }
        if seen.sourceRoute { return .ipv4BadOption }
        state.isChanged = changed
        return .none
    }

    /// Writes into a record route option the address that the packet leaves from, and the header checksum. (A timestamp keeps the
    /// address that it took on the way in: Linux exchanges it in source-routed packets only.)
    public func forwardOptions(_ packet: PacketBuffer, _ parsed: ParsedPacket, state: IPv4OptionState, outgoingAddress: IPAddress) {
        guard state.isChanged else { return }
        let start = Int(parsed.networkOffset)
        defer { Checksum.fillIPv4Header(packet.start + start, length: Int(parsed.networkHeaderLength)) }
        guard state.recordRouteNeedsAddress else { return }
        let option = start + state.recordRoute
        let pointer = Int(packet.load8(option + 2))
        guard pointer >= 8, pointer - 1 <= Int(packet.load8(option + 1)), option + pointer - 1 <= start + Int(parsed.networkHeaderLength) else { return }
        packet.store32(outgoingAddress.ipv4, at: option + pointer - 5)
    }

    /// Record route (RFC 791): adds our address if there is room. Returns the offset of what is wrong.
    private func record(_ packet: PacketBuffer, _ option: Int, _ length: Int, _ address: IPAddress, _ changed: inout Bool) -> Int? {
        guard length >= 3 else { return option + 1 }
        let pointer = Int(packet.load8(option + 2))
        guard pointer >= 4 else { return option + 2 }
        guard pointer <= length else { return nil }
        guard pointer + 3 <= length else { return option + 2 }
        packet.store32(address.ipv4, at: option + pointer - 1)
        packet.store8(UInt8(pointer + 4), at: option + 2)
        changed = true
        return nil
    }

    /// Timestamp (RFC 791): time alone, with our address, or only if the next address is ours; else counts the overflow.
    private func stamp(_ packet: PacketBuffer, _ option: Int, _ length: Int, _ address: IPAddress, _ milliseconds: UInt32, _ state: inout IPv4OptionState,
                       _ changed: inout Bool) -> Int? {
        guard length >= 4 else { return option + 1 }
        let pointer = Int(packet.load8(option + 2))
        guard pointer >= 5 else { return option + 2 }
        let flags = packet.load8(option + 3)
        guard pointer <= length else {
            guard flags & 15 != 3 else { return nil }
            let overflow = flags >> 4
            guard overflow < 15 else { return option + 3 }
            packet.store8(flags & 15 | (overflow + 1) << 4, at: option + 3)
            changed = true
            return nil
        }
        guard pointer + 3 <= length else { return option + 2 }
        switch flags & 15 {
        case 0:
            packet.store32(milliseconds, at: option + pointer - 1)
            packet.store8(UInt8(pointer + 4), at: option + 2)
        case 1:
            guard pointer + 7 <= length else { return option + 2 }
            packet.store32(address.ipv4, at: option + pointer - 1)
            packet.store32(milliseconds, at: option + pointer + 3)
            packet.store8(UInt8(pointer + 8), at: option + 2)
            state.timestampNeedsAddress = true
        case 3:
            guard pointer + 7 <= length else { return option + 2 }
            guard !isPlainUnicast(packet.loadAddress(.ipv4, option + pointer - 1)) else { return nil }
            packet.store32(milliseconds, at: option + pointer + 3)
            packet.store8(UInt8(pointer + 8), at: option + 2)
        default: return nil
        }
        state.timestampNeedsTime = true
        changed = true
        return nil
    }

    /// Neither ours nor anything but one station's (inet_addr_type says unicast).
    func isPlainUnicast(_ address: IPAddress) -> Bool {
        interfaces.kind(of: address) == .none && !address.isMulticast && !address.isLimitedBroadcast && !address.isLoopback && address.ipv4 >> 24 != 0
    }

    /// A CIPSO option names a domain, and none is configured here (cipso_v4_validate).
    private func cipsoProblem(_ option: Int, _ length: Int) -> Int { length < 8 ? option + 1 : option + 2 }
}
