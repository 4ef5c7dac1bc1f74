// `meta`, `ct`, `rt`, header options: from nft's words to instruction operands.
//
// Invariant: a key that means something on a host only (sockets, users, cgroups) compiles to `never` and a warning, which
// is what Linux does with it for forwarded packets.
import Ruleset

extension Compiler {
    func loadMeta(_ key: Ruleset.MetaKey, _ type: Datatype, at register: Int) {
        let mapped: MetaKey
        var length = type.byteLength
        switch key {
        case .length: mapped = .length
        case .protocol: mapped = .networkProtocol
        case .priority: mapped = .priority
        case .mark: mapped = .mark
        case .iif: mapped = .inputIndex
        case .oif: mapped = .outputIndex
        case .iifname: (mapped, length) = (.inputName, 16)
        case .oifname: (mapped, length) = (.outputName, 16)
        case .iiftype: mapped = .inputType
        case .oiftype: mapped = .outputType
        case .iifgroup: mapped = .inputGroup
        case .oifgroup: mapped = .outputGroup
        case .iifkind: (mapped, length) = (.inputKind, 16)
        case .oifkind: (mapped, length) = (.outputKind, 16)
        case .nftrace: mapped = .trace
        case .rtclassid: mapped = .routeClass
        case .pkttype: mapped = .packetType
        case .cpu: mapped = .cpu
        case .random: mapped = .random
        case .ipsec: mapped = .secpath
        case .time: mapped = .time
        case .day: mapped = .day
        case .hour: mapped = .hour
        case .nfproto: mapped = .family
        case .l4proto: mapped = .transportProtocol
        case .sdif: mapped = .inputSecondaryIndex
        case .sdifname: (mapped, length) = (.inputSecondaryName, 16)
        case .skuid, .skgid, .cgroup, .ibrname, .obrname, .ibrpvid, .ibrvproto, .ibrhwaddr, .broute: return neverMatches("meta \(key.rawValue)", .ofAHost)
        case .secmark: return neverMatches("meta secmark")
        }
        var instruction = Instruction(.meta)
        instruction.a = UInt8(register)
        instruction.b = mapped.rawValue
        instruction.length = UInt8(length)
        emit(instruction)
    }

    func loadConntrack(_ field: ConntrackField, at register: Int) {
        require(.conntrack)
        let mapped: ConntrackKey = switch field.key {
        case .state: .state
        case .direction: .direction
        case .status: .status
        case .mark: .mark
        case .expiration: .expiration
        case .helper: .helper
        case .l3proto: .networkProtocol
        case .protocol: .transportProtocol
        case .saddr: field.family == .ip ? .sourceIPv4 : field.family == .ip6 ? .sourceIPv6 : .source
        case .daddr: field.family == .ip ? .destinationIPv4 : field.family == .ip6 ? .destinationIPv6 : .destination
        case .protoSource: .sourcePort
        case .protoDestination: .destinationPort
        case .label: .label
        case .packets: .packets
        case .bytes: .bytes
        case .avgpkt: .averagePacket
        case .zone: .zone
        case .event: .eventMask
        case .id: .identifier
        case .secmark: .secmark
        }
        var instruction = Instruction(.conntrack)
        instruction.a = UInt8(register)
        instruction.b = mapped.rawValue
        instruction.length = UInt8(field.type.byteLength)
        let direction: ConntrackDirection = switch field.direction {
        case .original: .original
        case .reply: .reply
        case nil: .both
        }
        instruction.x = direction.rawValue
        emit(instruction)
    }

    func loadRoute(_ key: Ruleset.RouteKey, _ family: Ruleset.AddressFamily?, _ type: Datatype, at register: Int) {
        let mapped: RouteKey = switch key {
        case .classid: .classID
        case .mtu: .tcpMSS
        case .nexthop: family == .ip6 || (family == nil && type.byteLength == 16) ? .nextHop6 : .nextHop4
        case .ipsec: .ipsec
        }
        var instruction = Instruction(.route)
        instruction.a = UInt8(register)
        instruction.b = mapped.rawValue
        instruction.length = UInt8(type.byteLength)
        emit(instruction)
    }

    func optionOpcode(_ family: OptionFamily) -> Opcode {
        switch family {
        case .extensionHeader: .extensionHeader
        case .tcpOption: .tcpOption
        case .ipOption: .ipOption
        case .sctpChunk: .sctpChunk
        case .dccpOption: .dccpOption
        }
    }

    func loadOption(_ field: OptionField, at register: Int) {
        var instruction = Instruction(optionOpcode(field.family))
        instruction.value = UInt64(field.number)
        if field.testsPresence || field.family == .dccpOption {
            instruction.a = UInt8(register)
            instruction.length = 1
            instruction.second = 1
            return emit(instruction)
        }
        let bytes = FieldBytes(bitOffset: field.offset, bitLength: field.length)
        let wanted = (field.length + 7) / 8
        let place = bytes.count > wanted ? register + 32 : register
        instruction.a = UInt8(place)
        instruction.length = UInt8(bytes.count)
        instruction.x = UInt32(bytes.offset)
        emit(instruction)
        isolate(field.length, bytes, at: place, in: register)
    }
}
