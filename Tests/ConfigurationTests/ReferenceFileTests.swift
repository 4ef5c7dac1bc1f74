// conf/needletail.toml is the reference: each key stands in it, and nothing else, with the default that the code has.
import Foundation
import Testing

@testable import Configuration

@Suite struct ReferenceFileTests {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func reference() throws -> String { try String(contentsOf: root.appendingPathComponent("conf/needletail.toml"), encoding: .utf8) }

    @Test func isRight() throws {
        let configuration = try parse(try reference())
        #expect(configuration.ports.count == 2)
    }

    @Test func holdsEveryKeyAndNoOther() throws {
        // "#key = value" without a blank is a key without a default.
        let uncommented = try reference().split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#") && line.dropFirst().first?.isLetter == true && line.contains(" = ") ? line.dropFirst() : line
        }.joined(separator: "\n")
        _ = try parse(uncommented, files: ["rules.nft"])
        let found = Set(try TOMLPositions.lines(of: uncommented).keys.map { path in path.replacing(/\[\d+\]/, with: "[]") })
        for key in Configuration.knownKeys { #expect(found.contains(key), "\(key) is not in conf/needletail.toml") }
    }

    @Test func showsTheDefaults() throws {
        var configuration = try parse(try reference())
        let ports = configuration.ports
        configuration.file = ""
        configuration.ports = []
        configuration.vlans = []
        configuration.sessions = []
        configuration.routing.routes = []
        configuration.routing.rules = []
        configuration.routing.neighbours = []
        #expect(configuration == Configuration())
        // The first port and the first route write every default out, the second ones leave them to the code.
        var first = try #require(ports.first), second = try #require(ports.last)
        for port in [\Configuration.Port.name, \.device] { first[keyPath: port] = ""; second[keyPath: port] = "" }
        first.addresses = []
        second.addresses = []
        #expect(first == second)
    }

    @Test(arguments: ["conf/demo.toml", "conf/multi-wan.toml"]) func otherFilesAreRight(_ path: String) throws {
        _ = try Configuration.load(file: root.appendingPathComponent(path).path)
    }
}
