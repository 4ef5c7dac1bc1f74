// DPDK's log on its way to ours.
import CDPDK
import DPDK
import Logging
import Synchronization
import Testing

@testable import Dataplane

/// Keeps what it is told.
private final class Notebook: Sendable {
    let lines = Mutex<[String]>([])
}

private struct NotebookHandler: LogHandler {
    let notebook: Notebook
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { notebook.lines.withLock { $0.append("\(event.level): \(event.message)") } }
}

extension WorkerSuite {
    /// A driver's message; RTE_LOGTYPE_USER1 is 24.
    private func say(_ level: UInt32, _ text: String) { _ = withVaList([]) { rte_vlog(level, 24, text, $0) } }

    @Test func whatDriversSayIsTold() {
        let notebook = Notebook()
        let logger = Logger(label: "test") { _ in NotebookHandler(notebook: notebook) }
        var relay = DPDKLogRelay()
        relay.relay(to: logger)
        notebook.lines.withLock { $0 = [] }
        say(UInt32(RTE_LOG_ERR), "net_x: queue 3 hangs\n")
        say(UInt32(RTE_LOG_WARNING), "net_x: link is slow\nnet_x: very\n\n")
        say(UInt32(RTE_LOG_CRIT), "net_x: on fire\n")
        relay.relay(to: logger)
        #expect(notebook.lines.withLock { $0 } == ["error: DPDK: net_x: queue 3 hangs", "warning: DPDK: net_x: link is slow", "warning: DPDK: net_x: very", "critical: DPDK: net_x: on fire"])
        say(UInt32(RTE_LOG_ERR), "net_x: once more\n")
        #expect(EAL.takeLog() == "net_x: once more\n")
        relay.relay(to: logger)
        #expect(notebook.lines.withLock { $0.count } == 4)
    }

    @Test func aFloodIsToldInPart() {
        let notebook = Notebook()
        let logger = Logger(label: "test") { _ in NotebookHandler(notebook: notebook) }
        var relay = DPDKLogRelay()
        relay.relay(to: logger)
        notebook.lines.withLock { $0 = [] }
        for number in 0 ..< 3000 { say(UInt32(RTE_LOG_ERR), "net_x: message \(number) of a driver that is not well\n") }
        relay.relay(to: logger)
        let lines = notebook.lines.withLock { $0 }
        #expect(lines.count == DPDKLogRelay.linesAtOnce + 2 && lines.first?.contains("bytes more than could be kept") == true && lines.last?.hasSuffix("lines more") == true)
        #expect(lines.contains { $0.hasPrefix("error: DPDK: ") })
    }
}
