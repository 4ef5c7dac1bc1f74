// Reading the files again: addresses, routes, rules and neighbours of the configuration, and its ruleset, all of it or nothing.
//
// Invariant: whatever may fail (reading, checking, building tables for millions of routes, compiling rules) is done on the thread for changes
// before anything is touched; the slow-path core then swaps pointers. Connections live on, but for those that `masquerade` gave an address
// which is gone; cached flows are judged again as their packets come.
import Configuration
import DPDK
import Foundation
import Policy
import Routing
import Ruleset
import SlowPath
import Synchronization
import Wire

extension Runtime {
    /// Connections that are looked at in one task of the slow-path core when an address is gone: some milliseconds.
    private static var dropBudget: Int { 65_536 }

    /// A router on its way to the slow-path core, and the old one's tables on their way back.
    private final class RouterBox: @unchecked Sendable {
        let router: UnsafeMutablePointer<Router>
        init(_ router: consuming Router) {
            self.router = .allocate(capacity: 1)
            self.router.initialize(to: router)
        }
        deinit {
            router.deinitialize(count: 1)
            router.deallocate()
        }
    }

    /// Reads the configuration and the ruleset again and puts them in force; on an error, or if something differs that needs a restart,
    /// everything stays as it was.
    public func reload() async -> CommandResult {
        await serially { [self] in
            do {
                return try reloadFiles()
            } catch { return CommandResult(standardError: "\(error)\n", exitCode: 1) }
        }
    }

    private func reloadFiles() throws -> CommandResult {
        let running = configurationValue
        let wanted = try Configuration.load(file: running.file)
        let obstacles = wanted.needsRestart(running: running)
        guard obstacles.isEmpty else {
            throw InputError("\(running.file): this needs a restart, nothing was taken over:\n" + obstacles.map { "    \($0)" }.joined(separator: "\n"))
        }
        let value = try wanted.ruleset.file.map { try LiveRuleset.load($0, assembly.ruleset.interfaces) } ?? RulesetValue()
        let compiled = compile(value)
        guard compiled.refusal.isEmpty else { return CommandResult(standardError: compiled.refusal, exitCode: 1) }
        let box = RouterBox(try Assembly.router(wanted, assembly.ports.enumerated().map { place, port in port.with(addresses: wanted.ports[place].addresses) }))
        let warnings = Mutex<[String]>(wanted.warnings + compiled.warnings)
        adopt(value, compiled, transactions: 1, since: nil) { core in
            let refused = core.path.pointee.changeRouter { Self.exchange(&$0, box, from: running, to: wanted) }
            warnings.withLock { $0 += refused }
        }
        configurationInForce.withLock { $0 = wanted }
        dropMasqueraded(goneAddresses(from: running, to: wanted))
        let generation = assembly.ruleset.generation
        rulesetControl.history.withLock { $0.add(RulesetChanges(generation: generation, changes: []), process: ProcessInfo.processInfo.processIdentifier) }
        return CommandResult(standardError: warnings.withLock { $0 }.map { "Warning: \($0)\n" }.joined())
    }

    /// Slow-path core only. What the neighbour table, which goes on, has no room for.
    private static func exchange(_ router: inout Router, _ box: RouterBox, from running: Configuration, to wanted: Configuration) -> [String] {
        router.exchange(&box.router.pointee)
        var refused: [String] = []
        for neighbour in running.routing.neighbours where !wanted.routing.neighbours.contains(neighbour) {
            if let port = wanted.interfaceIndex(named: neighbour.port) { router.neighbours.remove(neighbour.address, port: PortIndex(port)) }
        }
        for neighbour in wanted.routing.neighbours where !running.routing.neighbours.contains(neighbour) {
            guard let port = wanted.interfaceIndex(named: neighbour.port) else { continue }
            do {
                try router.neighbours.addPermanent(neighbour.address, port: PortIndex(port), mac: neighbour.mac, now: Clock.nanoseconds)
            } catch { refused.append("\(error)") }
        }
        return refused
    }

    private func goneAddresses(from running: Configuration, to wanted: Configuration) -> [(address: IPAddress, interface: Int)] {
        let before = running.interfaceAddresses, after = wanted.interfaceAddresses
        return before.indices.flatMap { place in
            before[place].filter { !after[place].map(\.address).contains($0.address) }.map { (address: $0.address, interface: place) }
        }
    }

    private func dropMasqueraded(_ gone: [(address: IPAddress, interface: Int)]) {
        for (address, interface) in gone {
            var cursor = 0, isDone = false
            while !isDone {
                let start = cursor
                (cursor, isDone) = onSlowPath { core in
                    var cursor = start
                    let isDone = core.path.pointee.dropMasqueraded(address, interface: PortIndex(interface), cursor: &cursor, budget: Self.dropBudget)
                    return (cursor, isDone)
                }
            }
        }
    }
}

extension AssembledPort {
    fileprivate func with(addresses: [IPPrefix]) -> AssembledPort {
        var configuration = configuration
        configuration.addresses = addresses
        return AssembledPort(configuration: configuration, device: device, setup: setup, address: address)
    }
}

extension Configuration {
    /// By interface, in the order of `interfaceNames`.
    fileprivate var interfaceAddresses: [[IPPrefix]] { ports.map(\.addresses) + vlans.map(\.addresses) + sessions.map(\.addresses) }
}
