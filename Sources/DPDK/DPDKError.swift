// What can go wrong below: one error type that says which device or call, why, and what to do about it.
import CDPDK
import Glibc

/// An error of the EAL, a port, a pool or a capture file. `description` is one sentence for a person; `advice` says what
/// to do; `log` is what DPDK printed meanwhile (empty if nothing).
public struct DPDKError: Error, CustomStringConvertible, Sendable {
    public enum Kind: Sendable, Equatable {
        /// The configuration asks for what cannot be (an unknown CPU, a malformed device string).
        case configuration
        /// The machine lacks something: a device, memory, permission.
        case machine
        /// A file cannot be read or written.
        case file
        /// The call does not fit the object's state.
        case state
    }
    public var kind: Kind
    public var message: String
    public var advice: String
    public var log: String

    public init(_ kind: Kind, _ message: String, advice: String = "", log: String = "") {
        self.kind = kind
        self.message = message
        self.advice = advice
        self.log = log
    }

    public var description: String {
        var text = message
        if !advice.isEmpty { text += "; " + advice }
        if !log.isEmpty { text += "\n" + log.split(separator: "\n").map { "  DPDK: " + $0 }.joined(separator: "\n") }
        return text
    }
}

/// "No such device" for -ENODEV or ENODEV.
func errnoText(_ code: Int32) -> String { String(cString: strerror(abs(code))) }
