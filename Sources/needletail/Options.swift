// Options that several commands share.
import ArgumentParser
import Configuration
import Foundation

struct ConfigurationOption: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("The configuration, in TOML; conf/needletail.toml shows every key.", valueName: "file"), completion: .file(extensions: ["toml"]))
    var config: String

    func load() throws -> Configuration { try Configuration.load(file: config) }
}

struct JSONOption: ParsableArguments {
    @Flag(help: "Print JSON, for programs.")
    var json = false
}

/// `NAME=FILE`
struct PortFile: ExpressibleByArgument {
    var port: String
    var path: String

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        port = String(parts[0])
        path = String(parts[1])
    }
}

enum JSON {
    static func print(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}
