// Changes of the running ruleset: nft's commands and the reading of the file.
//
// Invariant: one change at a time, on a thread of its own. There it is parsed, checked and compiled, against a copy of the
// state; the slow-path core copies the state, and later takes over the difference and swaps two pointers. Workers run on;
// their entries are judged again, one by one, as packets come.
import DPDK
import Foundation
import Policy
import Ruleset
import SlowPath
import Synchronization
import Wire

/// The thread for changes, and what monitors have not heard yet.
final class RulesetControl: @unchecked Sendable {
    /// Serial: only here is the ruleset replaced, and only here is it read without asking the slow-path core.
    let queue = DispatchQueue(label: "needletail.ruleset")
    let history = Mutex(ChangeHistory())
}

/// The last transactions, for `nft monitor`. Bounded: the oldest go first; who reads too slowly is told so.
struct ChangeHistory {
    static let room = 256, changeRoom = 200_000
    private var transactions: [(number: UInt64, changes: RulesetChanges, process: Int32)] = []
    private var changeCount = 0
    private(set) var last: UInt64 = 0
    /// Until when somebody is likely to ask: until then changes are recorded. ns.
    private var heardUntil: Timestamp = 0

    func hasListener(_ now: Timestamp) -> Bool { now < heardUntil }
    mutating func listen(_ now: Timestamp) { heardUntil = now + 60_000_000_000 }

    mutating func add(_ changes: RulesetChanges, process: Int32) {
        last += 1
        changeCount += changes.changes.count
        transactions.append((last, changes, process))
        while transactions.count > Self.room || changeCount > Self.changeRoom, let first = transactions.first {
            changeCount -= first.changes.changes.count
            transactions.removeFirst()
        }
    }

    /// What came after a number, and whether some of it is gone.
    func after(_ number: UInt64) -> (transactions: [(number: UInt64, changes: RulesetChanges, process: Int32)], isBehind: Bool) {
        (transactions.filter { $0.number > number }, number < last && (transactions.first?.number ?? last + 1) > number + 1)
    }
}

extension Runtime {
    /// Runs work on the thread for changes.
    func serially<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in rulesetControl.queue.async { continuation.resume(returning: work()) } }
    }

    /// Runs a task on the slow-path core and waits; for the thread for changes only.
    func onSlowPath<Result: Sendable>(_ task: @escaping @Sendable (inout SlowPathCore) -> Result) -> Result {
        let done = DispatchSemaphore(value: 0)
        let slot = Mutex<Result?>(nil)
        assembly.mailbox.post { core in
            let result = task(&core)
            slot.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = slot.withLock({ $0 }) else { preconditionFailure("the task gave its result before it signalled") }
        return result
    }

    /// The ruleset in force with its state, and the copy that this state is from.
    private func current() -> (value: RulesetValue, snapshot: StateSnapshot) {
        let compiled = assembly.ruleset.compiled
        let snapshot = onSlowPath { core in
            let now = Clock.nanoseconds
            core.settle(now: now)
            return compiled.snapshot(now: now)
        }
        return (compiled.value(of: snapshot), snapshot)
    }

    /// Compiles a ruleset and puts it in force, unless the compiler refuses it (`CompiledRuleset.refusal`).
    private func adopt(_ value: RulesetValue, transactions: Int, since snapshot: StateSnapshot?) -> CompiledRuleset {
        let compiled = compile(value)
        if compiled.refusal.isEmpty { adopt(value, compiled, transactions: transactions, since: snapshot) }
        return compiled
    }

    func compile(_ value: RulesetValue) -> CompiledRuleset {
        CompiledRuleset(value, interfaces: assembly.ruleset.interfaces, seed: UInt64.random(in: .min ... .max), now: Clock.nanoseconds)
    }

    /// Puts a compiled ruleset in force, and another change in the same moment.
    func adopt(
        _ value: RulesetValue, _ compiled: CompiledRuleset, transactions: Int, since snapshot: StateSnapshot?,
        with change: (@Sendable (inout SlowPathCore) -> Void)? = nil
    ) {
        let live = assembly.ruleset
        let transfer = StateTransfer(to: compiled, from: live.compiled)
        onSlowPath { [self] core in
            let now = Clock.nanoseconds
            // Before the state is taken over: once the entries are stale and the workers quiescent, every count is in.
            core.path.pointee.invalidateFlows()
            core.settle(now: now)
            transfer.run(now: now, since: snapshot)
            assembly.ruleset.adopt(value, compiled, transactions: UInt64(transactions))
            change?(&core)
            core.path.pointee.adopt(compiled)
        }
    }

    /// Runs nft's arguments against the ruleset in force; what they change is in force when this returns, all of it or
    /// nothing. A listing changes nothing and compiles nothing.
    public func nft(_ request: NftRequest) async -> CommandResult {
        var line = NFTCommandLine(arguments: request.arguments)
        guard !line.interactive, line.monitor == nil else {
            return CommandResult(standardError: "nft: -i and monitor are the client's work: it sends one line at a time, and asks for /v1/nft/monitor\n", exitCode: 1)
        }
        line.standardInput = request.standardInput ?? ""
        line.process = request.process ?? 0
        line.options.interfaces = assembly.ruleset.interfaceNames
        line.options.workingDirectory = request.workingDirectory
        line.options.recordsChanges = rulesetControl.history.withLock { $0.hasListener(Clock.nanoseconds) }
        let given = line
        return await serially { [self] in
            var command = given
            command.generation = assembly.ruleset.generation
            let (before, snapshot) = current()
            var value = before
            let result = command.run(on: &value)
            var errors = result.errors
            // What earlier transactions of this command line changed stands, whatever became of the later ones.
            if !result.changes.isEmpty || result.altersState {
                let known = Set(assembly.ruleset.compiled.warnings)
                let compiled = adopt(value, transactions: result.changes.count, since: snapshot)
                if !compiled.refusal.isEmpty { return CommandResult(standardError: errors + compiled.refusal, exitCode: 1) }
                errors += compiled.warnings.filter { !known.contains($0) }.map { "Warning: \($0)\n" }.joined()
                rulesetControl.history.withLock { history in for changes in result.changes { history.add(changes, process: command.process) } }
            }
            return CommandResult(standardOutput: result.output, standardError: errors, exitCode: result.exitStatus)
        }
    }

    /// What changed since the last time; waits for news, at most some seconds.
    public func changes(_ request: NftMonitorRequest) async -> NftMonitorReport {
        let line = NFTCommandLine(arguments: request.arguments)
        let filter = MonitorFilter(line.monitor ?? []) ?? MonitorFilter([])
        let deadline = Clock.nanoseconds + 20_000_000_000
        rulesetControl.history.withLock { $0.listen(Clock.nanoseconds) }
        guard let after = request.after else { return NftMonitorReport(last: rulesetControl.history.withLock(\.last)) }
        while Clock.nanoseconds < deadline {
            let (news, isBehind) = rulesetControl.history.withLock { $0.after(after) }
            if let last = news.last {
                var text = ""
                for transaction in news {
                    for change in transaction.changes.changes where filter?.admits(change) ?? true { text += line.json ? change.jsonText(line.print) : change.text(line.print) }
                    if !line.json, filter?.isEverything ?? true { text += transaction.changes.closing(process: transaction.process) }
                }
                return NftMonitorReport(text: text, last: last.number, isBehind: isBehind)
            }
            do { try await Task.sleep(for: .milliseconds(50)) } catch { break }
        }
        return NftMonitorReport(last: after)
    }
}
