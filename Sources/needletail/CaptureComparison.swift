// Compares what a port sent with a capture of what another router sent there, frame by frame.
//
// Frames are equal if all their bytes are, but for what `ComparableFrame` masks. A frame of the one side is paired with
// the first unpaired equal frame of the other; order matters within a flow only, since two routers may well serve two
// flows in another order.
import DPDK
import Wire

struct CaptureComparison: Encodable {
    struct Port: Encodable {
        var name: String
        /// Frames on each side, without excluded ones.
        var expected = 0
        var sent = 0
        var equal = 0
        /// Equal frames that left in another order than the expected ones of their flow.
        var reordered = 0
        /// ARP, neighbour discovery and MLD, on both sides.
        var excluded = 0
        /// In words, at most `maximumDifferences`.
        var differences: [String] = []

        var isEqual: Bool { equal == expected && equal == sent && reordered == 0 }
    }

    let reference: String
    private(set) var ports: [Port] = []
    private let ownAddresses: Set<IPAddress>
    private static let maximumDifferences = 10

    private enum CodingKeys: CodingKey { case reference, ports }

    init(reference: String, ownAddresses: [IPAddress]) {
        self.reference = reference
        self.ownAddresses = Set(ownAddresses)
    }

    var isEqual: Bool { ports.allSatisfy(\.isEqual) }

    mutating func compare(port name: String, expected expectedPath: String, actual actualPath: String) throws {
        var port = Port(name: name)
        let expected = try read(expectedPath, excluded: &port.excluded)
        let actual = try read(actualPath, excluded: &port.excluded)
        port.expected = expected.count
        port.sent = actual.count

        var unpaired: [[UInt8]: [Int]] = [:]
        for (index, frame) in expected.enumerated().reversed() { unpaired[frame.masked, default: []].append(index) }
        var isPaired = [Bool](repeating: false, count: expected.count)
        var lastOfFlow: [[UInt8]: Int] = [:]
        var extra: [ComparableFrame] = []
        for frame in actual {
            guard let index = unpaired[frame.masked]?.popLast() else {
                extra.append(frame)
                continue
            }
            isPaired[index] = true
            port.equal += 1
            if let last = lastOfFlow[frame.flow], last > index { port.reordered += 1 }
            lastOfFlow[frame.flow] = index
        }
        port.differences = describe(missing: expected.indices.filter { !isPaired[$0] }.map { expected[$0] }, extra: extra)
        ports.append(port)
    }

    /// Pairs what is left by flow, so that a changed frame shows as changed and not as missing and extra.
    private func describe(missing: [ComparableFrame], extra: [ComparableFrame]) -> [String] {
        var extra = extra
        var lines: [String] = []
        for frame in missing {
            if let index = extra.firstIndex(where: { $0.flow == frame.flow }) {
                let other = extra.remove(at: index)
                let offsets = zip(frame.masked.indices, zip(frame.masked, other.masked)).filter { $1.0 != $1.1 }.map { "\($0.0)" }
                let length = frame.masked.count == other.masked.count ? "" : ", length \(other.masked.count) instead of \(frame.masked.count)"
                lines.append("frame \(other.number): differs from expected frame \(frame.number) at bytes \(offsets.prefix(12).joined(separator: " "))\(offsets.count > 12 ? " ..." : "")\(length)")
            } else {
                lines.append("expected frame \(frame.number) (\(frame.masked.count) bytes) was not sent")
            }
        }
        lines += extra.map { "frame \($0.number) (\($0.masked.count) bytes) was sent and not expected" }
        return Array(lines.prefix(CaptureComparison.maximumDifferences))
    }

    private func read(_ path: String, excluded: inout Int) throws -> [ComparableFrame] {
        var reader = try CaptureReader(path: path)
        var frames: [ComparableFrame] = []
        var fragments = FragmentNames()
        while let record = try reader.next() {
            let frame = ComparableFrame(number: reader.count, bytes: Array(record.bytes), ownAddresses: ownAddresses, fragments: &fragments)
            if frame.isNeighbourTraffic { excluded += 1 } else { frames.append(frame) }
        }
        return frames
    }

    /// The last line says how many are equal.
    var table: String {
        var table = TextTable("compared", ">expected", ">sent", ">equal", ">reordered", ">not compared (ARP, ND)")
        for port in ports { table.add(port.name, "\(port.expected)", "\(port.sent)", "\(port.equal)", "\(port.reordered)", "\(port.excluded)") }
        var out = table.text
        for port in ports { for difference in port.differences { out += "\(port.name): \(difference)\n" } }
        let equal = ports.reduce(0) { $0 + $1.equal }, expected = ports.reduce(0) { $0 + $1.expected }, sent = ports.reduce(0) { $0 + $1.sent }
        out += "\(equal) of \(expected) packets equal those of \(reference)"
        if isEqual { return out + ": all of them\n" }
        return out + (sent > equal ? "; \(sent - equal) of the \(sent) that were sent differ\n" : "\n")
    }
}
