// The packet log: records of `log` statements turned into lines while the ruleset that made them is there.
//
// Invariant: bounded twice: a full ring of records gives up its oldest, and so do the lines. Packets only fill the ring; lines
// are made when somebody asks, or when the ruleset changes.
import Policy

extension SlowPath {
    /// Makes lines of what the rules have logged.
    mutating func collectLog() {
        let ring = log
        while let record = ring.pointee.next() {
            logLines.append(ruleset.logLine(record, number: ring.pointee.read &- 1, wallClockOffset: settings.wallClockOffset))
        }
        if logLines.count > settings.logRecords { logLines.removeFirst(logLines.count - settings.logRecords) }
    }

    /// Up to `limit` lines from number `first` on, oldest first; without a number, the last ones.
    public mutating func logLines(from first: Int?, limit: Int) -> [LogLine] {
        collectLog()
        guard let first else { return Array(logLines.suffix(max(0, limit))) }
        return Array(logLines.drop { $0.number < first }.prefix(max(0, limit)))
    }
}
