// What can go wrong on either end of the control socket.

public struct ControlError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
