// The IPv4 options of what the router answers a packet with: record route, timestamp and CIPSO come back, with our address and
// the time in their next places (ip_options_echo, ip_options_build). Linux leaves all others out.
//
// Invariant: reads the options only where `receiveOptions` has checked them; a rule may have changed their bytes since, so that
// lengths and pointers are checked again.
import Wire

extension Router {
    /// The options of an answer, or nil if Linux would send none because the options contradict themselves.
    ///
    /// - Parameters:
    ///   - source: the answer's own source address.
    ///   - millisecondsOfDay: since midnight UT, for timestamps.
    public func answerOptions(
        to packet: PacketBuffer, _ parsed: ParsedPacket, state: IPv4OptionState, source: IPAddress, millisecondsOfDay: UInt32
    ) -> IPv4AnswerOptions? {
        var answer = IPv4AnswerOptions()
        guard parsed.family == .ipv4, parsed.flags.contains(.hasOptions) else { return answer }
        /// Copies an option; its place in the answer, its length and its pointer.
        func copy(_ place: Int) -> (place: Int, length: Int, pointer: Int)? {
            let option = Int(parsed.networkOffset) + place, end = Int(parsed.networkOffset) + Int(parsed.networkHeaderLength)
            guard place >= 20, option + 2 <= end else { return nil }
            let length = Int(packet.load8(option + 1)), start = answer.length
            guard length >= 2, option + length <= end, answer.append(packet.start + option, length) else { return nil }
            return (start, length, length > 2 ? Int(packet.load8(option + 2)) : 0)
        }
        if state.recordRoute != 0 {
            guard let option = copy(state.recordRoute) else { return nil }
            if state.recordRouteNeedsAddress, option.pointer <= option.length {
                guard option.pointer >= 4, option.pointer + 3 <= option.length else { return nil }
                answer[option.place + 2] = UInt8(option.pointer + 4)
                answer.store(source.ipv4, at: option.place + option.pointer - 1)
            }
        }
        if state.timestamp != 0 {
            guard let option = copy(state.timestamp), stamp(&answer, option, state, source, millisecondsOfDay) else { return nil }
        }
        if state.cipso != 0, copy(state.cipso) == nil { return nil }
        answer.pad()
        return answer
    }

    /// Fills a timestamp's next place; false if the option contradicts itself.
    private func stamp(
        _ answer: inout IPv4AnswerOptions, _ option: (place: Int, length: Int, pointer: Int), _ state: IPv4OptionState, _ source: IPAddress, _ milliseconds: UInt32
    ) -> Bool {
        var pointer = option.pointer
        guard pointer <= option.length else { return true }
        guard pointer >= 5 else { return false }
        if state.timestampNeedsAddress {
            guard pointer + 3 <= option.length else { return false }
            pointer += 4
        }
        var hasTime = false
        if state.timestampNeedsTime {
            guard pointer + 3 <= option.length else { return false }
            if answer[option.place + 3] & 15 != 3 {
                hasTime = true
                pointer += 4
            } else if pointer + 7 <= option.length {
                var address: UInt32 = 0
                for byte in 0 ..< 4 { address = address << 8 | UInt32(answer[option.place + pointer - 1 + byte]) }
                if !isPlainUnicast(IPAddress(ipv4: address)) {
                    hasTime = true
                    pointer += 8
                }
            }
        }
        answer[option.place + 2] = UInt8(truncatingIfNeeded: pointer)
        if state.timestampNeedsAddress, pointer >= 12 { answer.store(source.ipv4, at: option.place + pointer - 9) }
        if hasTime { answer.store(milliseconds, at: option.place + pointer - 5) }
        return true
    }
}
