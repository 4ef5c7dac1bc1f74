// Why a text is not an address.

/// A text that is not the address it should be; `description` is a whole sentence for the user.
public struct AddressError: Error, Equatable, CustomStringConvertible, Sendable {
    public enum Problem: String, Error, Sendable {
        case empty = "it is empty"
        case badCharacter = "it contains a character that does not belong there"
        case badGroup = "a group has too few or too many digits"
        case groupTooLarge = "a number is greater than 255"
        case leadingZero = "a decimal number has a leading zero"
        case wrongGroupCount = "it has too few or too many groups"
        case twoCompressions = "it has more than one '::'"
        case badPrefixLength = "the prefix length is not a number within the address's width"
    }
    /// What was wanted: "IPv4 address", "MAC address", ...
    public let wanted: String
    public let text: String
    public let problem: Problem

    public var description: String { "'\(text)' is no \(wanted): \(problem.rawValue)" }
}
