// Drives a worker over packets in memory, for callgrind to count: scripts/check-instructions. No EAL, no device, no thread.
//
//     worker-instructions ipv4-udp|ipv4-tcp|ipv6-udp|ipv6-tcp ROUNDS [twin|given]
//
// Prints the packets forwarded; every one must be a hit. Only `Worker.runOnce` is to be counted; or `nt_twin_run`, its twin in C; or
// `nt_twin_run_hash_given`, the twin that takes the hash from the packet buffer, as if a NIC had put it there.
import CDPDK
import Conntrack
import DPDK
import Dataplane
import FlowCache
import Foundation
import Wire

let words = CommandLine.arguments
guard (3 ... 4).contains(words.count), let rounds = Int(words[2]) else {
    FileHandle.standardError.write(Data("usage: worker-instructions ipv4-udp|ipv4-tcp|ipv6-udp|ipv6-tcp ROUNDS [twin|given]\n".utf8))
    exit(64)
}
let isIPv6 = words[1].hasPrefix("ipv6"), isTCP = words[1].hasSuffix("tcp")
let twinned = words.count == 4, isHashGiven = words.last == "given"
let flows = 256
let addresses = [EthernetAddress(rawValue: 0x0200_0000_0a01), EthernetAddress(rawValue: 0x0200_0000_0a02)]
let configuration = FlowCacheConfiguration(ipv4Capacity: isIPv6 ? 0 : flows * 4, ipv6Capacity: isIPv6 ? flows * 4 : 0, actionCapacity: 64, seed: 1)
let memory = UnsafeMutableRawPointer.allocate(byteCount: FlowCache.memoryRequired(configuration), alignment: 128)
let connections = ConnectionRecords(
    base: .allocate(byteCount: flows * ConnectionTracker.stride, alignment: 64), stride: ConnectionTracker.stride)
var cache = FlowCache(memory: memory, configuration: configuration)
let traffic = BenchTraffic(isIPv6: isIPv6, isTCP: isTCP, isStrict: true, isMix: false, translates: true, routerAddresses: addresses)
for connection in 0 ..< UInt32(flows) {
    connections.base.map { ($0 + Int(connection) * connections.stride).storeBytes(of: BenchTraffic.window, as: TCPWindowPair.self) }
    for isReply in [false, true] {
        guard cache.insert(traffic.description(connection: connection, isReply: isReply), now: 0) != nil else { fatalError("the flow cache refused a flow") }
    }
}
// Numbers that no device has.
let ports = [UInt16(8), 9].map { (number: $0, memory: nt_memory_port_make($0)!) }
let sources = [false, true].map { traffic.makeSource(isReply: $0, first: 0, count: flows) }
var setup = WorkerConfiguration()
setup.holdsBurst = true
setup.connections = connections
setup.inputs = ports.enumerated().map { WorkerInput(queue: ReceiveQueue(port: $0.element.number, queue: 0), port: PortIndex($0.offset), address: addresses[$0.offset]) }
setup.outputs = ports.map { TransmitQueue(port: $0.number, queue: 0) }
let rings = PuntRings(capacity: 255)
let worker = UnsafeMutablePointer<Worker>.allocate(capacity: 1)
worker.initialize(to: Worker(configuration: setup, reader: cache.reader, rings: rings.handle, quiescence: nil))
let layout = cache.reader.layout
let twin = UnsafeMutablePointer<nt_twin>.allocate(capacity: 1)
twin.initialize(to: nt_twin(layout, connections, addresses: addresses, ports: ports.map(\.number), queue: 0))
let seeds = UnsafeMutablePointer<UInt64>.allocate(capacity: layout.seeds.count)
for (place, seed) in layout.seeds.enumerated() { seeds[place] = seed }
if isHashGiven { for source in sources { source.pointee.seeds = UnsafePointer(seeds) } }
for _ in 0 ..< rounds {
    for (port, source) in zip(ports, sources) { _ = nt_flow_source_stamp(0, 0, nt_memory_port_next(port.memory), UInt16(Worker.burst), 0, source) }
    if isHashGiven {
        _ = nt_twin_run_hash_given(twin, 1)
    } else if twinned {
        _ = nt_twin_run(twin, 1)
    } else {
        _ = worker.pointee.runOnce(tick: 1)
    }
}
worker.pointee.finish(tick: 1)
nt_twin_finish(twin)
let hits = worker.pointee.statistics.value(.hits) + twin.pointee.hits
guard hits == UInt64(rounds * 2 * Worker.burst), ports.reduce(0, { $0 + $1.memory.pointee.sent }) == hits else {
    FileHandle.standardError.write(Data("worker-instructions: only \(hits) of \(rounds * 2 * Worker.burst) packets hit\n".utf8))
    exit(1)
}
print(hits)
