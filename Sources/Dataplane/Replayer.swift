// Captures through the whole pipeline, on the captures' own clock.
//
// Invariant: one thread runs everything, time comes from the captures, and every random choice from the configuration's
// seed: the same input gives the same bytes. In lockstep a packet has left before the next one arrives.
import Configuration
import DPDK
import FlowCache
import Foundation
import Offload
import Ruleset
import SlowPath
import Wire

public enum Replayer {
    /// Feeds the captures to the ports, writes what the ports send, and gives the totals.
    /// - Throws: `InputError` for a ruleset or a capture that cannot be used, `DPDKError` for what the machine cannot do.
    public static func run(configuration: Configuration, options: ReplayOptions) throws -> ForwardingSummary {
        // Elements that time out begin to with the first packet.
        let ruleset = try LiveRuleset(configuration: configuration, seed: configuration.seed ?? ReplayRun.seed, now: ReplayRun.beginning(options))
        _ = try EAL.start(.small(memoryMB: max(256, configuration.eal.memoryMB), workers: 1))
        defer { EAL.stop() }
        let run = try ReplayRun(configuration: configuration, options: options, ruleset: ruleset)
        return try run.execute()
    }
}

/// A port of a replay: on rings, or a net_pcap device that reads and writes its captures itself.
private struct ReplayPort {
    let rings: RingPort?
    var device: EthernetPort
}

private final class ReplayRun {
    private let options: ReplayOptions
    private let configuration: Configuration
    private let ports: [ReplayPort]
    private let pool: Mempool
    private let assembly: Assembly
    private var sources: [CaptureSource] = []
    private let writers: [OutputCapture?]
    private let wallStart = Clock.nanoseconds
    private var firstTime: Timestamp = 0
    private var now: Timestamp = 0
    private var nextClock: Timestamp = 0
    /// Of a configuration without a seed: a replay is the same every time.
    static var seed: UInt64 { 0x6e65_6564_6c65 }
    /// How often the clockwork runs in capture time.
    private static var clockPeriod: UInt64 { 10_000_000 }

    /// One input capture with its next record at hand.
    private final class CaptureSource {
        var reader: CaptureReader
        let port: PortIndex
        var timestamp: Timestamp = 0
        var frame: [UInt8] = []
        private(set) var isAtEnd = false
        init(path: String, port: PortIndex) throws {
            reader = try CaptureReader(path: path)
            self.port = port
            try advance()
        }
        func advance() throws {
            guard let record = try reader.next() else {
                isAtEnd = true
                return
            }
            guard !record.isTruncated else {
                throw InputError("\(reader.path): packet \(reader.count) was captured with \(record.bytes.count) of its \(record.originalLength) bytes; capture whole packets (tcpdump -s 0)")
            }
            timestamp = record.timestamp
            frame = [UInt8](record.bytes)
        }
    }

    private final class OutputCapture {
        var writer: CaptureWriter
        init(path: String) throws { writer = try CaptureWriter(path: path) }
    }

    private static func beginning(_ sources: [CaptureSource]) -> Timestamp { sources.filter { !$0.isAtEnd }.map(\.timestamp).min() ?? 1_000_000_000 }

    /// When the first packet of the captures came.
    static func beginning(_ options: ReplayOptions) throws -> Timestamp {
        beginning(try options.inputs.map { try CaptureSource(path: $0.path, port: 0) })
    }

    init(configuration: Configuration, options: ReplayOptions, ruleset: LiveRuleset) throws {
        self.configuration = configuration
        self.options = options
        let largest = configuration.ports.map(\.mtu).max() ?? 1500
        let room = max(configuration.worker.bufferBytes, largest + 64, 9216) + Mempool.headroom
        pool = try Mempool(count: 8191, dataRoom: room)
        var made: [ReplayPort] = []
        var assembled: [AssembledPort] = []
        for (place, port) in configuration.ports.enumerated() {
            let readsItself = port.device.hasPrefix("net_pcap") && !options.inputs.contains { $0.port == port.name }
            let rings = readsItself ? nil : try RingPort(name: port.name, capacity: 2047, pool: pool)
            let device = try rings?.port ?? EthernetPort(name: port.name, device: port.device)
            let setup = try device.configure(PortConfiguration(), pools: [pool])
            // A replay has no device whose address it could ask for: the configured one, else one that everybody can know.
            let address = port.mac ?? EthernetAddress(rawValue: 0x0200_0000_0000 | UInt64(place + 1))
            made.append(ReplayPort(rings: rings, device: device))
            assembled.append(AssembledPort(configuration: port, device: device, setup: setup, address: address))
            if port.emulateOffload != .none { try EmulatedNIC.attach(port: device.id, profile: port.emulateOffload.rawValue) }
        }
        ports = made
        writers = try configuration.ports.enumerated().map { place, port in
            made[place].rings == nil ? nil : try OutputCapture(path: "\(options.outputDirectory)/\(port.name).pcap")
        }
        for input in options.inputs {
            guard let port = configuration.portIndex(named: input.port) else { throw InputError("there is no port \"\(input.port)\"") }
            sources.append(try CaptureSource(path: input.path, port: PortIndex(port)))
        }
        // The captures' clock is the wall clock as well.
        assembly = try Assembly(configuration: configuration, ports: assembled, pool: pool, ruleset: ruleset, workerCount: 1, isThreaded: false,
                                seed: configuration.seed ?? ReplayRun.seed, wallClockOffset: 0)
        for port in ports { try port.device.start() }
        now = ReplayRun.beginning(sources)
        firstTime = now
        nextClock = now
        assembly.manager?.start(now: now)
    }

    func execute() throws -> ForwardingSummary {
        while let source = nextSource() {
            advanceClock(to: source.timestamp)
            let port = ports[Int(source.port)]
            while !(source.frame.withUnsafeBytes { port.rings?.inject($0) ?? true }) {
                guard pump() > 0 else { throw InputError("\(source.reader.path): packet \(source.reader.count) is too long for a packet buffer") }
            }
            try source.advance()
            if options.lockstep { while pump() > 0 {} } else { _ = pump() }
        }
        while pump() > 0 {}
        for writer in writers { try writer?.writer.finish() }
        return finish()
    }

    /// The source whose packet is the earliest; of equal ones the first named.
    private func nextSource() -> CaptureSource? {
        sources.filter { !$0.isAtEnd }.min { $0.timestamp < $1.timestamp }
    }

    /// Lets the clockwork run at its times up to `time`; a long silence is passed in a bounded number of steps.
    private func advanceClock(to time: Timestamp) {
        guard time > now else { return }
        let step = max(Self.clockPeriod, (time - now) / 1000)
        while nextClock < time {
            now = max(now, nextClock)
            nextClock = now + step
            while pump() > 0 {}
        }
        now = time
    }

    /// One round of every part; the number of things done.
    private func pump() -> Int {
        var done = assembly.workers[0].pointee.runOnce(tick: FlowCache.tick(now))
        done += assembly.core.pointee.runOnce(now: now)
        done += assembly.manager?.runOnce(now: now) ?? 0
        for (place, port) in ports.enumerated() {
            guard let rings = port.rings, let writer = writers[place] else { continue }
            while let packet = rings.take() {
                writer.writer.write(packet, timestamp: now)
                packet.free()
                done += 1
            }
        }
        return done
    }

    private func finish() -> ForwardingSummary {
        _ = assembly.manager?.creditAll(now: now)
        assembly.core.pointee.settle(now: now)
        var summary = assembly.summary(now: now)
        summary.seconds = Double(now - firstTime) / 1e9
        summary.wallSeconds = Double(Clock.nanoseconds - wallStart) / 1e9
        assembly.manager?.stop(now: now)
        for port in ports { port.device.stop() }
        assembly.dismantle()
        for port in ports { EmulatedNIC.detach(port: port.device.id) }
        for port in ports { if let rings = port.rings { rings.close() } else { port.device.close() } }
        return summary
    }
}
