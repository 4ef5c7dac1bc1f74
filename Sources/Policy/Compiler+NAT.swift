// `snat`, `dnat`, `masquerade`, `redirect`: where the addresses and ports come from.
//
// Invariant: after the loads the template names the registers of first and last address and port; a map's data of
// intervals holds first and last one behind the other.
import Ruleset

extension Compiler {
    func compile(_ nat: NAT) {
        // `dnat ip to` in an inet table leaves IPv6 untracked (nft_nat_init asks for its own family; masquerade and redirect for the table's).
        var family: Family?
        if nat.kind == .snat || nat.kind == .dnat { family = nat.family.map { $0 == .ip ? .ip : .ip6 } }
        // NAT itself comes with the chain that is hung up (nf_nat_register_fn), this only with the statement.
        require(.conntrack, for: family)
        var template = NATTemplate()
        template.kind = switch nat.kind {
        case .snat: .source
        case .dnat: .destination
        case .masquerade: .masquerade
        case .redirect: .redirect
        }
        template.flags = NATRequest.Flags(rawValue: nat.flags.rawValue)
        let isIPv4 = nat.family.map { $0 == .ip } ?? (ruleset.tables[table].family != .ip6)
        template.family = isIPv4 ? 4 : 6
        let width = isIPv4 ? 4 : 16
        var register = 0
        if let address = nat.address, !loadAddress(address, width, &template, &register) { return neverMatches("nat to this address") }
        if let port = nat.port, !loadPort(port, &template, &register) { return neverMatches("nat to this port") }
        var instruction = Instruction(.nat)
        instruction.x = UInt32(natTemplates.count)
        natTemplates.append(template)
        emit(instruction)
    }

    private func loadAddress(_ address: Ruleset.Expression, _ width: Int, _ template: inout NATTemplate, _ register: inout Int) -> Bool {
        switch address {
        case .range(let low, let high):
            immediate(Compiler.bytes(low.number, width) + Compiler.bytes(high.number, width), at: register)
            template.firstAddress = UInt8(register)
            template.lastAddress = UInt8(register + width)
        case .prefix(let value, let length):
            let mask = Compiler.prefixMask(length, bits: width * 8), all = Compiler.prefixMask(width * 8, bits: width * 8)
            immediate(Compiler.bytes(value.number & mask, width) + Compiler.bytes(value.number & mask | (all & ~mask), width), at: register)
            template.firstAddress = UInt8(register)
            template.lastAddress = UInt8(register + width)
        case .map(let key, let source, let type):
            let number = lookUp(key, in: source, type, at: register)
            let parts = type.parts.map(\.byteLength)
            guard parts.first == width, parts.count <= 2 else { return false }
            let single = parts.reduce(0, +)
            template.firstAddress = UInt8(register)
            if sets[Int(number)].hasIntervalData { template.lastAddress = UInt8(register + single) }
            if parts.count == 2 {
                template.firstPort = UInt8(register + width)
                if sets[Int(number)].hasIntervalData { template.lastPort = UInt8(register + single + width) }
            }
            register += single * 2
            return true
        case .concatenation(let parts) where parts.count == 2:
            return loadAddress(parts[0], width, &template, &register) && loadPort(parts[1], &template, &register)
        default:
            guard byteLength(address) == width else { return false }
            load(address, at: register)
            template.firstAddress = UInt8(register)
        }
        register += width * 2
        return true
    }

    /// Looks a key up in a map, the data in place of the key; the set's number.
    private func lookUp(_ key: Ruleset.Expression, in source: SetSource, _ type: Datatype, at register: Int) -> UInt32 {
        let keyLength = load(key, at: register)
        let number = set(source, keyLength: keyLength, dataType: type)
        var lookup = Instruction(.mapLookup)
        lookup.a = UInt8(register)
        lookup.b = UInt8(register)
        lookup.x = number
        emit(lookup)
        return number
    }

    private func loadPort(_ port: Ruleset.Expression, _ template: inout NATTemplate, _ register: inout Int) -> Bool {
        switch port {
        case .range(let low, let high):
            immediate(Compiler.bytes(low.number, 2) + Compiler.bytes(high.number, 2), at: register)
            template.firstPort = UInt8(register)
            template.lastPort = UInt8(register + 2)
        case .map(let key, let source, let type):
            let number = lookUp(key, in: source, type, at: register)
            guard type.byteLength == 2 else { return false }
            template.firstPort = UInt8(register)
            if sets[Int(number)].hasIntervalData { template.lastPort = UInt8(register + 2) }
        default:
            guard loadSized(port, 2, at: register) else { return false }
            template.firstPort = UInt8(register)
        }
        register += 4
        return true
    }
}
