// A fuzzer of the slow path as a function: well-formed and damaged frames from one seed, in place in guarded memory, and
// what the slow path sends comes back as input at the other port. It must neither crash nor keep anything.
//
//     needletail-fuzz [--packets N] [--seed S] [--ruleset FILE] [--json]
//
// Exit code 0: all well. 1: something leaked or a packet was not accounted for. A crash is a signal, and the same seed
// repeats it.
import Conntrack
import FlowCache
import Foundation
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

func option(_ name: String) -> String? {
    let words = CommandLine.arguments
    guard let place = words.firstIndex(of: name), place + 1 < words.count else { return nil }
    return words[place + 1]
}

let packetCount = option("--packets").flatMap { Int($0) } ?? 100_000
let seed = option("--seed").flatMap { UInt64($0) } ?? 1
let rules = """
    table inet filter {
        set seen { type ipv4_addr; flags dynamic,timeout; timeout 10s; size 64; }
        counter every { }
        chain pre { type filter hook prerouting priority raw; policy accept; udp dport 1025 notrack; ip dscp 1 ip dscp set 2; }
        chain input { type filter hook input priority filter; policy accept; ct state established,related counter accept; icmp type echo-request limit rate 5/second accept; }
        chain forward {
            type filter hook forward priority filter; policy drop;
            counter name every
            ct state vmap { established : accept, related : accept, invalid : jump odd }
            tcp flags syn tcp option maxseg size set rt mtu
            ip saddr 10.0.1.4 add @seen { ip saddr timeout 5s } counter
            tcp dport 22 reject with tcp reset
            udp dport 80 reject
            ip6 nexthdr icmpv6 counter accept
            ct status dnat accept
            meta l4proto { tcp, udp, icmp, sctp, gre } accept
        }
        chain odd { tcp flags & (fin|syn) == fin|syn drop; log prefix "odd "; }
        chain out { type filter hook output priority filter; policy accept; ct state new counter; }
    }
    table ip nat {
        chain pre { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 10.0.2.3:80; udp dport 53 redirect to :53; }
        chain post { type nat hook postrouting priority srcnat; oifname { "r1", "ppp0" } masquerade; }
    }
    """

func residentPages() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
}

let text = try option("--ruleset").map { try String(contentsOfFile: $0, encoding: .utf8) } ?? rules
let loaded = RulesetValue().applying(text: text, name: option("--ruleset") ?? "fuzz", options: LoadOptions(interfaces: FuzzNetwork.names))
guard loaded.isAccepted || text.isEmpty else {
    FileHandle.standardError.write(Data((loaded.diagnostics.map(\.message).joined(separator: "\n") + "\n").utf8))
    exit(1)
}

var tracking = TrackerConfiguration()
tracking.maximumConnections = 4096
let cacheLayout = FlowCacheConfiguration(ipv4Capacity: 4096, ipv6Capacity: 4096, seed: seed)
let cacheMemory = UnsafeMutableRawPointer.allocate(byteCount: FlowCache.memoryRequired(cacheLayout), alignment: 128)
var settings = SlowPathSettings()
settings.seed = seed
settings.offload = OffloadThreshold(packetsPerSecond: 0, packets: 4)
var path = SlowPath(
    settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: seed), flows: FlowCache(memory: cacheMemory, configuration: cacheLayout),
    ruleset: CompiledRuleset(loaded.value, interfaces: FuzzNetwork.policyInterfaces, seed: seed), router: try FuzzNetwork.router(), reassembler: Reassembler())

var generator = PacketGenerator(seed: seed)
let memory = GuardedMemory(capacity: 16384)
var echoes: [(port: Int, frame: [UInt8])] = []
var now: Timestamp = 1_000_000_000
var forwarded = 0, sent = 0, published = 0
var pagesEarly = 0

@MainActor func keep(_ frame: UnsafeRawBufferPointer, _ port: PortIndex) {
    sent += 1
    guard echoes.count < 64 else { return }
    // The other end gets it, and its words come back: addresses swapped.
    var copy = [UInt8](frame)
    guard let at = FuzzNetwork.networkOffset(copy), copy.count >= at + 20 else { return }
    for byte in 0 ..< 6 { copy.swapAt(byte, byte + 6) }
    let isIPv6 = copy[at] >> 4 == 6
    let source = at + (isIPv6 ? 8 : 12), length = isIPv6 ? 16 : 4
    let transport = source + 2 * length
    guard copy.count >= transport + 4 else { return }
    for byte in 0 ..< length { copy.swapAt(source + byte, source + length + byte) }
    if !isIPv6 || [6, 17].contains(copy[at + 6]) { copy.swapAt(transport, transport + 2); copy.swapAt(transport + 1, transport + 3) }
    echoes.append((Int(port), copy))
}

for number in 0 ..< packetCount {
    var port: Int
    var frame: [UInt8]
    if !echoes.isEmpty, generator.next(100) < 45 {
        (port, frame) = echoes.remove(at: generator.next(echoes.count))
    } else {
        (port, frame) = generator.frame()
    }
    let isDamaged = generator.next(100) < 60
    if isDamaged { generator.mutate(&frame) }
    let start = memory.end - frame.count
    frame.withUnsafeBytes { if $0.count > 0 { start.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
    let packet = PacketBuffer(start: start, length: frame.count, headroom: 128, tailroom: 0)
    if generator.next(100) < 80 { PacketGenerator.fixChecksums(packet) }
    now += UInt64(generator.next(200_000))
    if generator.next(10_000) == 0 { now += 40_000_000_000 }
    path.anticipate(packet.start, length: packet.length, ingress: PortIndex(port))
    path.anticipateAll()
    let outcome = path.process(packet, ingress: PortIndex(port), now: now)
    for index in 0 ..< path.outbox.count { keep(UnsafeRawBufferPointer(start: path.outbox[index].start, count: path.outbox[index].length), path.outbox[index].port) }
    if outcome.sendsInPlace {
        forwarded += 1
        precondition(path.inPlace.start >= start - 128 && path.inPlace.start + path.inPlace.length <= memory.end, "the frame left its memory")
        keep(UnsafeRawBufferPointer(start: path.inPlace.start, count: path.inPlace.length), outcome.port)
    }
    if outcome.publishes {
        published += 1
        path.commitPublication(now: now)
    }
    if number % 512 == 0 {
        path.runTimers(now: now)
        path.sweepFlows(budget: 1024, now: now)
        while let pair = path.nextBusyFlow(now: now) {
            path.offerTaken(pair)
            path.offloadInstalled(pair.original.connection, pair.originalHandle)
            path.offloadEnded(pair.original.connection, pair.originalHandle, retryAt: now)
        }
        while path.nextWithdrawn() != nil {}
        if path.beginGracePeriod() { path.endGracePeriod(now: now) }
    }
    if number == packetCount / 4 { pagesEarly = residentPages() }
    if number % 65536 == 0, isatty(2) != 0 { FileHandle.standardError.write(Data("\r\(number) of \(packetCount) packets".utf8)) }
}
let growth = (residentPages() - pagesEarly) * Int(sysconf(Int32(_SC_PAGESIZE)))

// Everything dies of old age; what is still held afterwards was leaked.
for _ in 0 ..< 4000 {
    now += 3_600_000_000_000
    path.runTimers(now: now)
    while path.nextWithdrawn() != nil {}
    path.sweepFlows(budget: .max, now: now)
    if path.beginGracePeriod() { path.endGracePeriod(now: now) }
}
let left = path.resources
var failures: [String] = []
if left.connections != 0 { failures.append("\(left.connections) connections leaked") }
if left.flowEntries != 0 { failures.append("\(left.flowEntries) flow entries leaked") }
if left.creditLists != 0 { failures.append("\(left.creditLists) credit lists leaked") }
if left.waitingPackets != 0 { failures.append("\(left.waitingPackets) waiting packets leaked") }
if left.incompleteDatagrams != 0 { failures.append("\(left.incompleteDatagrams) incomplete datagrams leaked") }
if growth > 64 << 20 { failures.append("memory grew by \(growth >> 20) MiB") }
if path.statistics.received != UInt64(packetCount) { failures.append("\(path.statistics.received) of \(packetCount) packets were accounted for") }
let reasons = DropReason.allCases.filter { path.statistics.dropped($0) > 0 }.map { ($0.name, path.statistics.dropped($0)) }
if CommandLine.arguments.contains("--json") {
    let report: [String: Any] = [
        "seed": seed, "packets": packetCount, "forwarded": forwarded, "framesSent": sent, "entriesPublished": published, "memoryGrowthBytes": growth,
        "drops": Dictionary(uniqueKeysWithValues: reasons), "failures": failures,
    ]
    print(String(decoding: try JSONSerialization.data(withJSONObject: report, options: [.prettyPrinted, .sortedKeys]), as: UTF8.self))
} else {
    print("""
        seed \(seed): \(packetCount) packets in, \(forwarded) forwarded, \(sent) frames sent, \(published) entries published, memory growth \(growth >> 10) KiB
        \(reasons.map { "\($0.0) \($0.1)" }.joined(separator: ", "))
        \(failures.isEmpty ? "no crash, no leak" : failures.joined(separator: "\n"))
        """)
}
exit(failures.isEmpty ? 0 : 1)
