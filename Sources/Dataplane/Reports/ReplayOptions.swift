// What `needletail replay` was asked to do.

public struct ReplayOptions: Sendable, Equatable {
    /// A capture whose packets arrive at a port.
    public struct Input: Sendable, Equatable {
        public var port: String
        public var path: String
        public init(port: String, path: String) {
            self.port = port
            self.path = path
        }
    }
    /// Merged in the order of their time stamps; of equal ones the earlier input's comes first.
    public var inputs: [Input]
    /// Gets one capture a port, `NAME.pcap`.
    public var outputDirectory: String
    /// Wait for the pipeline to drain before each next packet.
    public var lockstep = true

    public init(inputs: [Input], outputDirectory: String, lockstep: Bool = true) {
        self.inputs = inputs
        self.outputDirectory = outputDirectory
        self.lockstep = lockstep
    }
}
