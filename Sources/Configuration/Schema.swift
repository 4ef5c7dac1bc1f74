// Every key that a configuration may hold, table by table, in the order in which they are printed.
import Wire

/// A table of the configuration: its settings and the tables inside it.
struct Schema<Section> {
    var settings: [Setting<Section>]
    var subtables: [Subtable<Section>] = []
}

/// A table or an array of tables inside another one.
struct Subtable<Section> {
    let name: String
    let isArray: Bool
    let read: (TOMLNode, String, inout Section, inout ProblemList, inout Positions) -> Void
    let write: (Section, String) -> String
    /// `port[].mtu` for each key in here.
    let keys: (String) -> [String]
}

/// Where the parts stand that later checks speak about.
struct Positions {
    var ports: [KeyLines] = []
    var vlans: [KeyLines] = []
    var sessions: [KeyLines] = []
    var routes: [KeyLines] = []
    var rules: [KeyLines] = []
    var nextHops: [KeyLines] = []
    var neighbours: [KeyLines] = []
    /// Lines of plain tables' keys, by full name.
    var keys: [String: Int] = [:]

    /// Lines of one table of an array, and of its keys and list elements (`addresses[1]`).
    struct KeyLines {
        var table: Int
        var keys: [String: Int]
        /// Of the tables inside it (a route's next hops).
        var inner: [KeyLines] = []
        func line(_ key: String) -> Int { keys[key] ?? table }
    }

    func line(_ key: String) -> Int { keys[key] ?? 1 }
}

extension Schema where Section == Configuration {
    static var root: Schema {
        Schema(
            settings: [.seed("seed", \.seed)],
            subtables: [
                .table("eal", \.eal, .eal),
                .table("worker", \.worker, .worker),
                .array("port", \.ports, .port, positions: \.ports) { Configuration.Port() },
                .array("vlan", \.vlans, .vlan, positions: \.vlans) { Configuration.VLAN() },
                .array("pppoe", \.sessions, .pppoe, positions: \.sessions) { Configuration.PPPoESession() },
                .table("routing", \.routing, .routing),
                .table("ruleset", \.ruleset, .ruleset),
                .table("flow-cache", \.flowCache, .flowCache),
                .table("conntrack", \.conntrack, .conntrack),
                .table("nat", \.nat, .nat),
                .table("reassembly", \.reassembly, .reassembly),
                .table("neighbours", \.neighbours, .neighbours),
                .table("icmp", \.icmp, .icmp),
                .table("offload", \.offload, .offload),
                .table("control", \.control, .control),
                .table("log", \.log, .log),
            ])
    }
}

extension Schema where Section == Configuration.EAL {
    static var eal: Schema {
        Schema(settings: [
            .integer("main-core", \.mainCore, cpus),
            .integer("slow-path-core", \.slowPathCore, cpus),
            .list("worker-cores", \.workerCores, allowed: "CPU numbers from 0 to \(cpus.upperBound)") { value in
                guard case .integer(let cpu) = value, cpus.contains(cpu) else { return nil }
                return cpu
            } write: { "\($0)" },
            .boolean("share-cores", \.shareCores),
            .hugePages("huge-pages", \.hugePages),
            .integer("memory-mb", \.memoryMB, 0...1_048_576),
            .boolean("numa", \.numa),
            .list("arguments", \.arguments, allowed: "strings, one for each word") { value in
                guard case .string(let word) = value, !word.isEmpty else { return nil }
                return word
            } write: { quotedTOML($0) },
        ])
    }

    private static var cpus: ClosedRange<Int> { 0...1023 }
}

extension Setting where Section == Configuration.EAL {
    fileprivate static func hugePages(_ name: String, _ field: WritableKeyPath<Section, Configuration.HugePages>) -> Setting {
        Setting(name: name, isRequired: false) { node, key, section, problems in
            switch node.value {
            case .boolean(let flag): section[keyPath: field] = flag ? .on : .off
            case .string("auto"): section[keyPath: field] = .auto
            default: problems.add(node.line, key, "is \(node.kind); must be true, false or \"auto\"")
            }
        } write: { section in
            switch section[keyPath: field] {
            case .on: "true"
            case .off: "false"
            case .auto: "\"auto\""
            }
        }
    }
}

extension Schema where Section == Configuration.Worker {
    static var worker: Schema {
        Schema(settings: [
            .integer("burst", \.burst, 1...64),
            .integer("packet-buffers", \.packetBuffers, 0...16_777_215),
            .integer("buffer-bytes", \.bufferBytes, 2048...16_384),
            .integer("punt-ring", \.puntRing, 64...1_048_576, powerOfTwo: true),
            .choice("idle", \.idle),
        ])
    }
}

extension Schema where Section == Configuration.Port {
    static var port: Schema {
        Schema(settings: [
            .text("name", \.name, required: true, allowed: interfaceNameRule) { isInterfaceName($0) },
            .text("device", \.device, required: true, allowed: "a PCI address such as \"0000:3b:00.0\" or a virtual device such as \"net_af_packet0,iface=eth0\"") { isDevice($0) },
            .ownAddresses(\.addresses),
            .integer("mtu", \.mtu, 576...9600, note: " (IPv6 needs 1280)"),
            .mac("mac", optional: \.mac),
            .integer("rx-queues", \.rxQueues, 0...256),
            .integer("tx-queues", \.txQueues, 0...256),
            .integer("rx-descriptors", \.rxDescriptors, 64...32_768, powerOfTwo: true),
            .integer("tx-descriptors", \.txDescriptors, 64...32_768, powerOfTwo: true),
            .boolean("promiscuous", \.promiscuous),
            .choice("emulate-offload", \.emulateOffload),
        ])
    }

    /// `[DOMAIN:]BUS:DEVICE.FUNCTION[,arguments]` or `net_DRIVER[,arguments]`, as the EAL's --allow and --vdev take them.
    private static func isDevice(_ text: String) -> Bool {
        guard text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7f }) else { return false }
        let name = text.prefix { $0 != "," }
        if name.hasPrefix("net_") { return name.count > 4 && name.utf8.count < 64 && name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } }
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        let function = parts.last?.split(separator: ".", omittingEmptySubsequences: false) ?? []
        func isHex(_ text: Substring, _ digits: ClosedRange<Int>) -> Bool { digits.contains(text.count) && text.allSatisfy(\.isHexDigit) }
        guard function.count == 2, isHex(function[0], 2...2), function[1].count == 1, ("0"..."7").contains(function[1]) else { return false }
        return switch parts.count {
        case 2: isHex(parts[0], 2...2)
        case 3: isHex(parts[0], 4...8) && isHex(parts[1], 2...2)
        default: false
        }
    }
}

/// What Linux takes as an interface's name (dev_valid_name).
private let interfaceNameRule = "1 to 15 characters, none of them a blank, \"/\" or \":\", and not \"lo\""

private func isInterfaceName(_ name: String) -> Bool {
    (1...15).contains(name.utf8.count) && name != "." && name != ".." && name != "lo"
        && name.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7f && $0 != "/" && $0 != ":" && $0 != "\"" }
}

extension Setting {
    fileprivate static func ownAddresses(_ field: WritableKeyPath<Section, [IPPrefix]>) -> Setting {
        .list("addresses", field, allowed: "own unicast addresses with their network's prefix length, such as \"10.0.1.1/24\"") { value in
            guard case .string(let text) = value, text.contains("/"), let prefix = IPPrefix(text), !prefix.address.isMulticast, !prefix.address.isUnspecified else { return nil }
            return prefix
        } write: { quotedTOML($0.description) }
    }
}

extension Schema where Section == Configuration.VLAN {
    static var vlan: Schema {
        Schema(settings: [
            .text("name", \.name, required: true, allowed: interfaceNameRule) { isInterfaceName($0) },
            .text("port", \.port, required: true, allowed: "the name of a port") { !$0.isEmpty },
            .integer("id", \.id, required: true, 1...4094),
            .choice("tag", \.tag),
            .ownAddresses(\.addresses),
            .integer("mtu", \.mtu, 0...9600, note: " (0: that of the interface below; IPv6 needs 1280)"),
        ])
    }
}

extension Schema where Section == Configuration.PPPoESession {
    static var pppoe: Schema {
        Schema(settings: [
            .text("name", \.name, required: true, allowed: interfaceNameRule) { isInterfaceName($0) },
            .text("port", \.port, required: true, allowed: "the name of a port") { !$0.isEmpty },
            .integer("session", \.session, required: true, 1...65534),
            .mac("peer", \.peer),
            .ownAddresses(\.addresses),
            .integer("mtu", \.mtu, 0...9592, note: " (0: 1492, or 8 less than the interface below takes)"),
        ])
    }
}

extension Schema where Section == Configuration.Neighbour {
    static var neighbour: Schema {
        Schema(settings: [
            .text("port", \.port, required: true, allowed: "the name of a port") { !$0.isEmpty },
            .address("address", \.address),
            .mac("mac", \.mac),
        ])
    }
}

extension Schema where Section == Configuration.RulesetSource {
    static var ruleset: Schema {
        Schema(settings: [.text("file", optional: \.file, allowed: "the path of an nftables file") { !$0.isEmpty }])
    }
}
