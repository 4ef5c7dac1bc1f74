import Testing

@testable import Configuration

@Suite struct ConfigurationLoadingTests {
    @Test func parsesWhatItWrites() throws {
        let configuration = try parse(Sample.full)
        var again = try Configuration.parse(configuration.toml, file: "test.toml", fileExists: { _ in true })
        again.file = configuration.file
        #expect(again == configuration)
    }
}
