// The tracker's entrance to the window law: every segment, with the state's initialisation and its exceptions.
//
// Invariant: for a plain segment of an established connection the outcome and the state afterwards are those of
// `acceptEstablished` (a property test holds them to it).

extension TCPWindow {
    /// A SYN or SYN/ACK (re)initialises its sender. Window scaling holds only if both ends offered it (RFC 7323 section 2.2).
    static func initialise(_ sender: inout TCPEndpoint, _ receiver: inout TCPEndpoint, _ segment: TCPSegment, direction: UInt8) {
        sender.end = segment.end
        sender.maxEnd = segment.end
        sender.maxWindow = max(UInt32(segment.window), 1)
        segment.readOptions(into: &sender)
        let scaling = TCPEndpoint.Flag.windowScale
        if direction == 1, sender.flags & receiver.flags & scaling == 0 {
            sender.scale = 0
            receiver.scale = 0
        }
    }

    /// Judges any segment and updates the window state if it is acceptable.
    ///
    /// A position other than `within` leaves the state alone, except that `slightlyBeyond` moves the sender's end, so that
    /// the acknowledgement of data that the ruleset let pass does not look as if it came from nowhere.
    /// - Parameters:
    ///   - direction: 0 original, 1 reply.
    ///   - sequenceOffset: what NAT of payloads has added to the receiver's sequence numbers, to be taken off the
    ///     segment's acknowledgements (`nf_ct_seq_offset`).
    public static func judge(_ pair: inout TCPWindowPair, _ segment: TCPSegment, direction: UInt8, sequenceOffset: Int32 = 0) -> Position {
        var sender = direction == 0 ? pair.original : pair.reply
        var receiver = direction == 0 ? pair.reply : pair.original
        defer {
            if direction == 0 {
                pair.original = sender
                pair.reply = receiver
            } else {
                pair.reply = sender
                pair.original = receiver
            }
        }
        let isSyn = segment.flags & TCPFlags.syn != 0
        let isRst = segment.flags & TCPFlags.rst != 0
        let hasAck = segment.flags & TCPFlags.ack != 0
        var sequence = segment.sequence
        var end = segment.end
        let offset = UInt32(bitPattern: sequenceOffset)
        var acknowledgement = segment.acknowledgement &- offset
        var sack = (receiver.flags & TCPEndpoint.Flag.sackPermitted != 0 ? segment.highestAcknowledged : segment.acknowledgement) &- offset

        if sender.maxWindow == 0 {
            if isSyn {
                initialise(&sender, &receiver, segment, direction: direction)
                // Simultaneous open.
                if !hasAck { return .within }
            } else {
                // In the middle of a connection whose history is lost: believe the packet.
                let scaled = UInt32(segment.window) << UInt32(sender.scale)
                sender.end = end
                sender.maxWindow = max(scaled, 1)
                sender.maxEnd = end &+ sender.maxWindow
                if receiver.maxWindow == 0 {
                    receiver.end = sack
                    receiver.maxEnd = sack
                } else if sack == receiver.end &+ 1 {
                    // The answer to a keep-alive probe.
                    receiver.end &+= 1
                }
            }
        } else if isSyn, isAfter(end, sender.end), pair.state == TCPState.synSent.rawValue || pair.state == TCPState.synReceived.rawValue {
            // A new attempt may differ in sequence number and options (RFC 9293 section 3.4.3).
            initialise(&sender, &receiver, segment, direction: direction)
            if direction == 1 && !hasAck { return .within }
        }

        // No acknowledgement, or the 0 that some stacks put into a reset with ACK: as if it were right.
        if !hasAck || (isRst && acknowledgement == 0) {
            acknowledgement = receiver.end
            sack = receiver.end
        }
        if isRst && sequence == 0 && pair.state == TCPState.synSent.rawValue {
            // A reset that answers a SYN.
            sequence = sender.end
            end = sender.end
        }

        let position = position(sender: sender, receiver: receiver, sequence: sequence, end: end, sack: sack)
        guard position == .within else {
            if position == .slightlyBeyond {
                sender.end = end
                sender.flags |= TCPEndpoint.Flag.dataUnacknowledged
            }
            return position
        }
        let window = isSyn ? UInt32(segment.window) : UInt32(segment.window) << UInt32(sender.scale)
        update(sender: &sender, receiver: &receiver, end: end, acknowledgement: acknowledgement, sack: sack, scaledWindow: window, hasAck: hasAck)
        if segment.kind == .ack {
            withUnsafeMutablePointer(to: &pair) {
                noteAck($0, direction: direction, sequence: sequence, acknowledgement: acknowledgement, end: end, window: segment.window)
            }
        }
        return .within
    }
}
