// What the user gave is wrong: a ruleset that does not load, a capture for a port that does not exist.

/// Ends the command with exit code 1. `description` is printed as it is, so it names the file.
public struct InputError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
