// Sets the benchmark up, runs it on worker lcores, gathers the windows.
//
// Invariant: what runs on an lcore is a C function over plain memory; the main thread only sleeps, sweeps and, after all lcores
// ended, reads.
import CDPDK
import DPDK
import Dataplane
import FlowCache
import Foundation
import Wire

/// One worker lcore's part. Windows come in pairs, floor and forwarding; the first pair warms up.
struct BenchLcore {
    var worker: UnsafeMutablePointer<Worker>
    var portA: UInt16
    var portB: UInt16
    var queue: UInt16
    var windows: Int
    var nanosecondsPerWindow: UInt64
    var measuresForwarding: Bool
    var isRealtime = false
    /// CPU nanoseconds and packets of each window, floor and forwarding.
    var floorTime: UnsafeMutablePointer<UInt64>
    var floorPackets: UnsafeMutablePointer<UInt64>
    var time: UnsafeMutablePointer<UInt64>
    var packets: UnsafeMutablePointer<UInt64>
}

private func cpuNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Between two looks at the clock.
private let roundsPerLook = 256

@inline(never)
private func floorWindow(_ lcore: UnsafeMutablePointer<BenchLcore>, into batch: UnsafeMutablePointer<OpaquePointer?>) -> (time: UInt64, packets: UInt64) {
    let a = lcore.pointee.portA
    let b = lcore.pointee.portB
    let queue = lcore.pointee.queue
    func move(from: UInt16, to: UInt16) -> Int {
        let count = ReceiveQueue(port: from, queue: queue).receive(into: batch, maximum: 32)
        let sent = TransmitQueue(port: to, queue: queue).transmit(batch, count: count)
        if sent < count { rte_pktmbuf_free_bulk(batch + sent, UInt32(count - sent)) }
        return count
    }
    let start = cpuNanoseconds()
    var now = start
    var packets: UInt64 = 0
    repeat {
        for _ in 0..<roundsPerLook {
            packets &+= UInt64(truncatingIfNeeded: move(from: a, to: b))
            packets &+= UInt64(truncatingIfNeeded: move(from: b, to: a))
        }
        now = cpuNanoseconds()
    } while now - start < lcore.pointee.nanosecondsPerWindow
    return (now - start, packets)
}

@inline(never)
private func forwardingWindow(_ lcore: UnsafeMutablePointer<BenchLcore>) -> (time: UInt64, packets: UInt64) {
    let worker = lcore.pointee.worker
    let start = cpuNanoseconds()
    var now = start
    var packets: UInt64 = 0
    repeat {
        let tick = FlowCache.tick(Clock.nanoseconds)
        for _ in 0..<roundsPerLook { packets &+= UInt64(truncatingIfNeeded: worker.pointee.runOnce(tick: tick)) }
        now = cpuNanoseconds()
    } while now - start < lcore.pointee.nanosecondsPerWindow
    return (now - start, packets)
}

/// The body of a worker lcore.
private func benchLcore(_ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let lcore = context?.assumingMemoryBound(to: BenchLcore.self) else { return -1 }
    var parameter = sched_param()
    parameter.sched_priority = 1
    lcore.pointee.isRealtime = sched_setscheduler(0, SCHED_FIFO, &parameter) == 0
    let batch = UnsafeMutablePointer<OpaquePointer?>.allocate(capacity: 32)
    for window in -1..<lcore.pointee.windows {
        let floor = floorWindow(lcore, into: batch)
        let forwarding = lcore.pointee.measuresForwarding ? forwardingWindow(lcore) : floor
        guard window >= 0 else { continue }
        lcore.pointee.floorTime[window] = floor.time
        lcore.pointee.floorPackets[window] = floor.packets
        lcore.pointee.time[window] = forwarding.time
        lcore.pointee.packets[window] = forwarding.packets
    }
    batch.deallocate()
    return 0
}

struct BenchRun {
    let options: BenchOptions
    let measuresForwarding: Bool

    init(_ options: BenchOptions, measuresForwarding: Bool) {
        self.options = options
        self.measuresForwarding = measuresForwarding
    }

    private static var freeHugePages: Int {
        let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
        return (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0
    }

    func run() throws -> BenchReport {
        let cpus = EALConfiguration.allowedCPUs
        // Workers take the CPUs from the second on; the main thread, which sleeps and sweeps, the first.
        let workerCPUs = (0..<options.workers).map { cpus[($0 + 1) % cpus.count] }
        let usesHugePages = BenchRun.freeHugePages >= 128
        let packetsPerWorker = 4096
        let entries = options.flows * 2
        let configuration = FlowCacheConfiguration(
            ipv4Capacity: options.ipv6 ? 0 : entries, ipv6Capacity: options.ipv6 ? entries : 0, actionCapacity: 4096,
            seed: UInt64.random(in: 0...UInt64.max))
        var eal = EALConfiguration(
            mainCPU: cpus[0], workerCPUs: workerCPUs, hugePages: usesHugePages, memoryMB: usesHugePages ? 0 : 128 + 32 * options.workers)
        eal.pinsCaller = false
        _ = try EAL.start(eal).workers
        defer { EAL.stop() }

        let pool = try Mempool(name: "bench", count: packetsPerWorker * options.workers, cache: 256)
        var ports: [EthernetPort] = []
        defer { for port in ports { port.close() } }
        for number in 0..<2 {
            let port = try EthernetPort(name: "bench\(number)", device: "net_null\(number),size=64")
            ports.append(port)
            var wanted = PortConfiguration()
            wanted.receiveQueues = options.workers
            wanted.transmitQueues = options.workers
            wanted.symmetricRSS = false
            _ = try port.configure(wanted, pools: [pool])
            try port.start()
        }

        let memory = HugeMemory(byteCount: FlowCache.memoryRequired(configuration))
        var cache = FlowCache(memory: memory.base, configuration: configuration)
        let traffic = BenchTraffic(isIPv6: options.ipv6, translates: options.nat, routerAddresses: ports.map(\.hardwareAddress))
        let now = Clock.nanoseconds
        for connection in 0..<UInt32(options.flows) {
            for isReply in [false, true] {
                guard cache.insert(traffic.description(connection: connection, isReply: isReply), now: now) != nil else {
                    throw DPDKError(.machine, "the flow cache refused flow \(connection) of \(options.flows): \(cache.statistics)")
                }
            }
        }

        let quiescence = QuiescentState(readers: options.workers)
        let ringMemory = UnsafeMutablePointer<PuntRings>.allocate(capacity: options.workers)
        let workers = UnsafeMutablePointer<Worker>.allocate(capacity: options.workers)
        let lcores = UnsafeMutablePointer<BenchLcore>.allocate(capacity: options.workers)
        var sources: [UnsafeMutablePointer<nt_flow_source>] = []
        var callbacks: [(EthernetPort, EthernetPort.ReceiveCallback)] = []
        let share = options.flows / options.workers
        for number in 0..<options.workers {
            let count = number == options.workers - 1 ? options.flows - share * number : share
            for isReply in [false, true] {
                let source = traffic.makeSource(isReply: isReply, first: share * number, count: count)
                sources.append(source)
                let port = ports[isReply ? 1 : 0]
                callbacks.append((port, try port.addReceiveCallback(queue: number, context: source, nt_flow_source_stamp)))
            }
            (ringMemory + number).initialize(to: PuntRings(capacity: 1023))
            var workerConfiguration = WorkerConfiguration()
            workerConfiguration.index = number
            workerConfiguration.inputs = ports.enumerated().map {
                WorkerInput(queue: $0.element.receiveQueue(number), port: PortIndex($0.offset), address: $0.element.hardwareAddress)
            }
            workerConfiguration.outputs = ports.map { $0.transmitQueue(number) }
            (workers + number).initialize(to: Worker(
                configuration: workerConfiguration, reader: cache.reader, rings: ringMemory[number].handle, quiescence: quiescence.handle))
            let windows = options.windows
            func counters() -> UnsafeMutablePointer<UInt64> {
                let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: windows)
                memory.initialize(repeating: 0, count: windows)
                return memory
            }
            (lcores + number).initialize(to: BenchLcore(
                worker: workers + number, portA: ports[0].id, portB: ports[1].id, queue: UInt16(number), windows: windows,
                nanosecondsPerWindow: UInt64(options.seconds * 1e9 / Double(windows) / 2), measuresForwarding: measuresForwarding,
                floorTime: counters(), floorPackets: counters(), time: counters(), packets: counters()))
        }

        let units = EAL.current?.workers ?? []
        for (number, unit) in units.enumerated() { try unit.launch(benchLcore, context: lcores + number) }
        // The sweeper of the slow path, once a second.
        var nextSweep = Clock.nanoseconds + 1_000_000_000
        while units.contains(where: { $0.isRunning }) {
            usleep(20_000)
            let now = Clock.nanoseconds
            guard measuresForwarding, now >= nextSweep else { continue }
            cache.sweep(now: now) { _ in true }
            nextSweep = now + 1_000_000_000
        }
        for unit in units { unit.wait() }

        var report = BenchReport()
        report.flows = options.flows
        report.entries = entries
        report.family = options.ipv6 ? "ipv6" : "ipv4"
        report.nat = options.nat
        report.workers = options.workers
        report.windows = options.windows
        report.hugePages = usesHugePages
        report.tableBytes = cache.statistics.memoryBytes
        report.realtime = (0..<options.workers).allSatisfy { lcores[$0].isRealtime }
        var windows: [Double] = []
        var floors: [Double] = []
        var rates: [Double] = []
        for window in 0..<options.windows {
            var perPacket = 0.0
            var floor = 0.0
            var rate = 0.0
            for number in 0..<options.workers {
                let lcore = lcores[number]
                perPacket += Double(lcore.time[window]) / Double(max(1, lcore.packets[window]))
                floor += Double(lcore.floorTime[window]) / Double(max(1, lcore.floorPackets[window]))
                rate += Double(lcore.packets[window]) * 1e9 / Double(max(1, lcore.time[window]))
                report.packets += lcore.packets[window]
            }
            windows.append(perPacket / Double(options.workers))
            floors.append(floor / Double(options.workers))
            rates.append(rate)
        }
        report.nsPerPacket = BenchReport.median(windows)
        report.floorNsPerPacket = BenchReport.median(floors)
        report.packetsPerSecond = BenchReport.median(rates)
        report.spread = report.nsPerPacket > 0 ? ((windows.max() ?? 0) - (windows.min() ?? 0)) / report.nsPerPacket : 0
        var hits: UInt64 = 0
        var received: UInt64 = 0
        for number in 0..<options.workers {
            hits += workers[number].statistics.value(.hits)
            received += workers[number].statistics.value(.received)
        }
        report.hitRate = received > 0 ? Double(hits) / Double(received) : measuresForwarding ? 0 : 1

        for port in ports { port.stop() }
        for (port, callback) in callbacks { port.remove(callback) }
        for source in sources { source.deallocate() }
        for number in 0..<options.workers {
            (workers + number).deinitialize(count: 1)
            ringMemory[number].drainAndFree()
            (ringMemory + number).deinitialize(count: 1)
            for counters in [lcores[number].time, lcores[number].packets, lcores[number].floorTime, lcores[number].floorPackets] { counters.deallocate() }
        }
        workers.deallocate()
        ringMemory.deallocate()
        lcores.deallocate()
        return report
    }
}
