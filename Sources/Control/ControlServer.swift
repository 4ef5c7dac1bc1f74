// HTTP and JSON over a Unix socket, for `needletail show`, `needletail nft`, and whoever scrapes metrics.
//
//   GET  /v1/status /v1/stats /v1/ports /v1/interfaces /v1/flows?limit=N /v1/conntrack?limit=N /v1/offload /v1/config   /metrics
//   POST /v1/nft (an NftRequest)   /v1/nft/monitor (an NftMonitorRequest)   /v1/reload   /v1/stop
//
// Invariant: the socket is readable and writable by its owner only, from its first moment on; whoever may write to it
// may change the firewall.
import Dataplane
import FlyingFox
import FlyingSocks
import Foundation
import Glibc

public struct ControlServer: Sendable {
    public let path: String
    private let backend: any ControlBackend
    /// Flows and connections of one answer if the request does not say.
    private static let defaultLimit = 1000
    /// Largest body of a request; a ruleset fits many times over.
    private static let largestBody = 64 << 20

    public init(path: String, backend: any ControlBackend) {
        self.path = path
        self.backend = backend
    }

    /// Whether the path can be used, before anything is started; a stale socket is removed.
    /// - Throws: `ControlError` if another needletail listens there, or something else lies there.
    public static func checkPath(_ path: String) throws(ControlError) { try ControlSocket.claim(path) }

    /// Serves until the task is cancelled, then removes the socket.
    /// - Parameter ready: called once, when clients can connect.
    /// - Throws: `ControlError` if the path cannot be used.
    public func run(ready: @Sendable () -> Void = {}) async throws {
        try ControlSocket.claim(path)
        let server = HTTPServer(address: .unix(path: path), timeout: 60, logger: .disabled)
        await addRoutes(to: server)
        try await withThrowingTaskGroup(of: Void.self) { group in
            // The mask holds while the socket comes into being; other files made in that moment are merely stricter.
            let mask = umask(0o177)
            group.addTask { try await server.run() }
            do {
                try await server.waitUntilListening(timeout: 10)
                umask(mask)
            } catch {
                umask(mask)
                group.cancelAll()
                throw ControlError("control socket \(path): cannot listen: \(error)")
            }
            ready()
            defer { unlink(path) }
            do {
                try await group.next()
            } catch is CancellationError {
            } catch where Task.isCancelled {
            }
        }
    }

    private func addRoutes(to server: HTTPServer) async {
        let backend = backend
        await server.appendRoute("GET /v1/status") { _ in try ControlServer.json(await backend.status()) }
        await server.appendRoute("GET /v1/stats") { _ in try ControlServer.json(await backend.summary()) }
        await server.appendRoute("GET /v1/ports") { _ in try ControlServer.json(await backend.ports()) }
        await server.appendRoute("GET /v1/interfaces") { _ in try ControlServer.json(await backend.interfaces()) }
        await server.appendRoute("GET /v1/flows") { request in try ControlServer.json(await backend.flows(limit: try ControlServer.limit(request))) }
        await server.appendRoute("GET /v1/conntrack") { request in try ControlServer.json(await backend.connections(limit: try ControlServer.limit(request))) }
        await server.appendRoute("GET /v1/log") { request in
            let first = request.query["from"].flatMap { Int($0) }
            return try ControlServer.json(await backend.logLines(from: first, limit: try ControlServer.limit(request)))
        }
        await server.appendRoute("GET /v1/offload") { _ in try ControlServer.json(await backend.offload()) }
        await server.appendRoute("GET /v1/config") { _ in ControlServer.text(await backend.configuration(), type: "application/toml") }
        await server.appendRoute("GET /metrics") { _ in ControlServer.text(await backend.metrics(), type: "text/plain; version=0.0.4") }
        await server.appendRoute("POST /v1/nft") { request in
            guard request.bodySequence.count.map({ $0 <= ControlServer.largestBody }) ?? false else { return ControlServer.text("the body is too large or has no length\n", type: "text/plain", status: .payloadTooLarge) }
            guard let command = try? JSONDecoder().decode(NftRequest.self, from: try await request.bodyData) else {
                return ControlServer.text("the body is not an nft request: {\"arguments\": [...], \"workingDirectory\": \"...\"}\n", type: "text/plain", status: .badRequest)
            }
            return try ControlServer.json(await backend.nft(command))
        }
        await server.appendRoute("POST /v1/nft/monitor") { request in
            guard let wanted = try? JSONDecoder().decode(NftMonitorRequest.self, from: try await request.bodyData) else {
                return ControlServer.text("the body is not a request: {\"arguments\": [\"monitor\"], \"after\": N}\n", type: "text/plain", status: .badRequest)
            }
            return try ControlServer.json(await backend.changes(wanted))
        }
        await server.appendRoute("POST /v1/reload") { _ in try ControlServer.json(await backend.reload()) }
        await server.appendRoute("POST /v1/stop") { _ in
            await backend.stop()
            return try ControlServer.json(CommandResult())
        }
    }

    private static func limit(_ request: HTTPRequest) throws -> Int {
        guard let text = request.query["limit"] else { return defaultLimit }
        return max(0, Int(text) ?? defaultLimit)
    }

    private static func json(_ value: some Encodable) throws -> HTTPResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return HTTPResponse(statusCode: .ok, headers: [.contentType: "application/json"], body: try encoder.encode(value))
    }

    private static func text(_ text: String, type: String, status: HTTPStatusCode = .ok) -> HTTPResponse {
        HTTPResponse(statusCode: status, headers: [.contentType: type], body: Data(text.utf8))
    }
}
