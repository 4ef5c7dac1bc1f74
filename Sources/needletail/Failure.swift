// How the command ends: 0 success, 1 the user's input is wrong, 2 the machine cannot do it, 64 the command line is wrong
// (ArgumentParser's). Messages go to standard error, each line with its file where one is to blame.
import ArgumentParser
import Configuration
import Control
import DPDK
import Dataplane
import Foundation

enum Failure {
    static let wrongInput = ExitCode(1)
    static let cannotBeDone = ExitCode(2)

    static func print(_ message: String) { FileHandle.standardError.write(Data((message + "\n").utf8)) }

    /// Runs a command's body; an error becomes a message and an exit code.
    static func reporting<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch { throw exitCode(for: error) }
    }

    static func reporting<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch { throw exitCode(for: error) }
    }

    private static func exitCode(for error: any Error) -> any Error {
        switch error {
        case let error as ExitCode: return error
        case let error as ValidationError: return error
        case let error as ConfigurationError:
            print(error.description)
            return wrongInput
        case let error as InputError:
            print(error.description)
            return wrongInput
        case let error as DPDKError:
            print("needletail: \(error)")
            return error.kind == .configuration || error.kind == .file ? wrongInput : cannotBeDone
        default:
            print("needletail: \(error)")
            return cannotBeDone
        }
    }
}
