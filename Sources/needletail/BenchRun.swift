// Sets the benchmark of established flows up, runs it on worker lcores, gathers the windows.
//
// Invariant: what runs on an lcore is a C function over plain memory (BenchWindows); the main thread only sleeps, sweeps and,
// after all lcores ended, reads.
import CDPDK
import Conntrack
import DPDK
import Dataplane
import FlowCache
import Foundation
import Wire

struct BenchRun {
    let options: BenchOptions
    let measuresForwarding: Bool

    init(_ options: BenchOptions, measuresForwarding: Bool) {
        self.options = options
        self.measuresForwarding = measuresForwarding
    }

    static var freeHugePages: Int {
        let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
        return (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0
    }

    private func allocate<Element>(_ count: Int, _ value: Element) -> UnsafeMutablePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: count)
        memory.initialize(repeating: value, count: count)
        return memory
    }

    func run() throws -> BenchReport {
        let cpus = EALConfiguration.allowedCPUs
        // Workers take the CPUs from the second on; the main thread, which sleeps and sweeps, the first.
        let workerCPUs = (0..<options.workers).map { cpus[($0 + 1) % cpus.count] }
        let entries = options.flows * 2
        // Lanes are five quarters of the capacity: three in five of them will be used.
        let capacity = entries + entries / 3
        let configuration = FlowCacheConfiguration(
            ipv4Capacity: options.ipv6 ? 0 : capacity, ipv6Capacity: options.ipv6 ? capacity : 0, actionCapacity: 4096,
            seed: UInt64.random(in: 0...UInt64.max))
        let cacheBytes = FlowCache.memoryRequired(configuration)
        let connectionBytes = options.tcp ? options.flows * ConnectionTracker.stride : 0
        let lineBytes = entries * (options.ipv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4)
        let packetsPerWorker = 4096
        let usesHugePages = BenchRun.freeHugePages >= 64 + (cacheBytes + connectionBytes + lineBytes) >> 21
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

        let memory = HugeMemory(byteCount: cacheBytes)
        let lines = HugeMemory(byteCount: lineBytes)
        let connectionMemory = HugeMemory(byteCount: max(64, connectionBytes))
        let connections = ConnectionRecords(base: options.tcp ? connectionMemory.base : nil, stride: ConnectionTracker.stride)
        var cache = FlowCache(memory: memory.base, configuration: configuration)
        let traffic = BenchTraffic(
            isIPv6: options.ipv6, isTCP: options.tcp, isStrict: !options.liberal, isMix: options.imix, translates: options.nat, routerAddresses: ports.map(\.hardwareAddress))
        let now = Clock.nanoseconds
        // Each worker has so many connections, the last one the rest as well.
        let share = max(1, options.flows / options.workers)
        for connection in 0..<UInt32(options.flows) {
            if let base = connections.base { (base + Int(connection) * connections.stride).storeBytes(of: BenchTraffic.window, as: TCPWindowPair.self) }
            for isReply in [false, true] {
                var flow = traffic.description(connection: connection, isReply: isReply)
                flow.owner = FlowOwner(worker: min(Int(connection) / share, options.workers - 1))
                guard cache.insert(flow, now: now) != nil else {
                    throw DPDKError(.machine, "the flow cache refused flow \(connection) of \(options.flows): \(cache.statistics)")
                }
            }
        }
        let layout = cache.reader.layout
        let filled = options.ipv6 ? layout.ipv6 : layout.ipv4

        let quiescence = QuiescentState(readers: options.workers)
        let ringMemory = UnsafeMutablePointer<PuntRings>.allocate(capacity: options.workers)
        let workers = UnsafeMutablePointer<Worker>.allocate(capacity: options.workers)
        let twins = allocate(options.workers, nt_twin())
        let lcores = UnsafeMutablePointer<BenchLcore>.allocate(capacity: options.workers)
        var sources: [UnsafeMutablePointer<nt_flow_source>] = []
        var callbacks: [(EthernetPort, EthernetPort.ReceiveCallback)] = []
        let loops = BenchLoop.allCases.count
        // As `nt_twin.seeds`; the sources read them.
        let seeds = allocate(8, UInt64(0))
        for (place, seed) in layout.seeds.enumerated() { seeds[place] = seed }
        for number in 0..<options.workers {
            let count = number == options.workers - 1 ? options.flows - share * number : share
            for isReply in [false, true] {
                let source = traffic.makeSource(isReply: isReply, first: share * number, count: count)
                if options.nicHash { source.pointee.seeds = UnsafePointer(seeds) }
                sources.append(source)
                let port = ports[isReply ? 1 : 0]
                callbacks.append((port, try port.addReceiveCallback(queue: number, context: source, nt_flow_source_stamp)))
            }
            (ringMemory + number).initialize(to: PuntRings(capacity: 1023))
            var workerConfiguration = WorkerConfiguration()
            workerConfiguration.index = number
            workerConfiguration.holdsBurst = true
            workerConfiguration.connections = connections
            workerConfiguration.inputs = ports.enumerated().map {
                WorkerInput(queue: $0.element.receiveQueue(number), port: PortIndex($0.offset), address: $0.element.hardwareAddress)
            }
            workerConfiguration.outputs = ports.map { $0.transmitQueue(number) }
            (workers + number).initialize(to: Worker(
                configuration: workerConfiguration, reader: cache.reader, rings: ringMemory[number].handle, quiescence: quiescence.handle))
            twins[number] = nt_twin(layout, connections, addresses: ports.map(\.hardwareAddress), ports: ports.map(\.id), queue: number)
            (lcores + number).initialize(to: BenchLcore(
                worker: workers + number, twin: twins + number, sources: (sources[number * 2], sources[number * 2 + 1]), portA: ports[0].id,
                portB: ports[1].id, queue: UInt16(number), windows: options.windows,
                nanosecondsPerWindow: UInt64(options.seconds * 1e9 / Double(options.windows) / Double(measuresForwarding ? loops - (options.nicHash ? 0 : 1) : 1)),
                measuresForwarding: measuresForwarding, givesHash: options.nicHash, lines: lines.base.assumingMemoryBound(to: UInt8.self), lineCount: UInt64(lineBytes / 64),
                random: UInt64(number), times: allocate(loops * options.windows, 0), packets: allocate(loops * options.windows, 0)))
        }

        let units = EAL.current?.workers ?? []
        for (number, unit) in units.enumerated() { try unit.launch(benchLcore, context: lcores + number) }
        // The sweeper of the slow path: all of the table within a second, a hundredth at a time.
        var cursor = FlowSweepCursor()
        let budget = Int(filled.buckets) * FlowTableView.lanes / 100 + 1
        while units.contains(where: { $0.isRunning }) {
            usleep(10_000)
            if measuresForwarding { cache.sweep(&cursor, budget: budget, now: Clock.nanoseconds) { _ in true } }
        }
        for unit in units { unit.wait() }

        var report = BenchReport()
        report.flows = options.flows
        report.entries = entries
        report.family = options.ipv6 ? "ipv6" : "ipv4"
        report.transport = options.tcp ? "tcp" : "udp"
        report.mix = options.imix
        report.nat = options.nat
        report.workers = options.workers
        report.windows = options.windows
        report.hugePages = usesHugePages
        report.tableBytes = cache.statistics.memoryBytes
        report.tableLoad = Double(entries) / Double(Int(filled.buckets) * FlowTableView.lanes)
        gather(lcores, into: &report)
        var hits: UInt64 = 0
        var received: UInt64 = 0
        for number in 0..<options.workers {
            hits += workers[number].statistics.value(.hits)
            received += workers[number].statistics.value(.received)
            if measuresForwarding, twins[number].odd > 0 { throw DPDKError(.machine, "\(twins[number].odd) packets missed in the twin") }
        }
        report.hitRate = received > 0 ? Double(hits) / Double(received) : measuresForwarding ? 0 : 1

        for port in ports { port.stop() }
        for (port, callback) in callbacks { port.remove(callback) }
        for source in sources { source.deallocate() }
        seeds.deallocate()
        for number in 0..<options.workers {
            (workers + number).deinitialize(count: 1)
            ringMemory[number].drainAndFree()
            (ringMemory + number).deinitialize(count: 1)
            lcores[number].times.deallocate()
            lcores[number].packets.deallocate()
        }
        workers.deallocate()
        twins.deallocate()
        ringMemory.deallocate()
        lcores.deallocate()
        return report
    }

    /// Medians over the windows; with several workers, of the mean time and of the sum of the rates.
    private func gather(_ lcores: UnsafeMutablePointer<BenchLcore>, into report: inout BenchReport) {
        report.realtime = (0..<options.workers).allSatisfy { lcores[$0].isRealtime }
        func series(_ loop: BenchLoop) -> (times: [Double], rates: [Double]) {
            var times: [Double] = []
            var rates: [Double] = []
            for window in 0..<options.windows {
                var perPacket = 0.0
                var rate = 0.0
                for number in 0..<options.workers {
                    let time = Double(lcores[number].times[loop.rawValue * options.windows + window])
                    let packets = Double(lcores[number].packets[loop.rawValue * options.windows + window])
                    perPacket += time / max(1, packets)
                    rate += packets * 1e9 / max(1, time)
                }
                times.append(perPacket / Double(options.workers))
                rates.append(rate)
            }
            return (times, rates)
        }
        let measured: BenchLoop = measuresForwarding ? .worker : .floor
        let own = series(measured)
        report.nsPerPacket = BenchReport.median(own.times)
        report.packetsPerSecond = BenchReport.median(own.rates)
        report.spread = BenchReport.spread(own.times)
        report.floorNsPerPacket = BenchReport.median(series(.floor).times)
        if measuresForwarding {
            report.twinNsPerPacket = BenchReport.median(series(.twin).times)
            report.twinGivenHashNsPerPacket = options.nicHash ? BenchReport.median(series(.twinGivenHash).times) : nil
            report.memoryLimitNsPerPacket = BenchReport.median(series(.memory).times)
        }
        for number in 0..<options.workers {
            for window in 0..<options.windows { report.packets += lcores[number].packets[measured.rawValue * options.windows + window] }
        }
    }
}
