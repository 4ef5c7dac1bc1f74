// The other end of the control socket: one blocking request a call, for the command line.
import Dataplane
import Foundation
import Glibc

public struct ControlClient: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// The answer to `GET /v1/NAME`, decoded.
    public func get<Answer: Decodable>(_ name: String, as type: Answer.Type = Answer.self) throws(ControlError) -> Answer {
        try decode(try request("GET", "/v1/\(name)", body: nil))
    }

    /// The answer as it is.
    public func getText(_ target: String) throws(ControlError) -> String {
        String(decoding: try request("GET", target, body: nil), as: UTF8.self)
    }

    public func nft(_ command: NftRequest) throws(ControlError) -> CommandResult {
        guard let body = try? JSONEncoder().encode(command) else { throw ControlError("the nft command cannot be sent: it is not text") }
        return try decode(try request("POST", "/v1/nft", body: body))
    }

    public func changes(_ wanted: NftMonitorRequest) throws(ControlError) -> NftMonitorReport {
        guard let body = try? JSONEncoder().encode(wanted) else { throw ControlError("the command cannot be sent: it is not text") }
        return try decode(try request("POST", "/v1/nft/monitor", body: body))
    }

    public func reload() throws(ControlError) -> CommandResult { try decode(try request("POST", "/v1/reload", body: Data())) }

    public func stop() throws(ControlError) { _ = try request("POST", "/v1/stop", body: Data()) }

    private func decode<Answer: Decodable>(_ data: Data) throws(ControlError) -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: data)
        } catch {
            throw ControlError("\(path): the answer is not what this version expects; are needletail and the running one of the same version?")
        }
    }

    private func request(_ method: String, _ target: String, body: Data?) throws(ControlError) -> Data {
        let descriptor = try ControlSocket.connect(path)
        defer { close(descriptor) }
        var message = Data("\(method) \(target) HTTP/1.1\r\nHost: needletail\r\nConnection: close\r\nContent-Length: \(body?.count ?? 0)\r\n\r\n".utf8)
        if let body { message.append(body) }
        try send(message, to: descriptor)
        let (status, answer) = try receive(from: descriptor)
        guard status == 200 else {
            let text = String(decoding: answer, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            throw ControlError("\(path): \(method) \(target) was refused with \(status)\(text.isEmpty ? "" : ": \(text)")")
        }
        return answer
    }

    private func send(_ message: Data, to descriptor: Int32) throws(ControlError) {
        var sent = 0
        while sent < message.count {
            let count = message.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ControlError("\(path): the connection broke: \(ControlSocket.errorText(errno))") }
            sent += count
        }
    }

    /// Reads one response; it has a Content-Length.
    private func receive(from descriptor: Int32) throws(ControlError) -> (status: Int, body: Data) {
        let broken = ControlError("\(path): the answer broke off; has needletail stopped?")
        var data = Data()
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let end = Data("\r\n\r\n".utf8)
        var header: (status: Int, start: Int, length: Int)?
        while true {
            if header == nil, let range = data.range(of: end) {
                let lines = String(decoding: data[..<range.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
                let words = lines[0].split(separator: " ")
                let length = lines.dropFirst().first { $0.lowercased().hasPrefix("content-length:") }.flatMap { Int($0.split(separator: ":", maxSplits: 1)[1].trimmingCharacters(in: .whitespaces)) }
                guard words.count >= 2, let status = Int(words[1]), let length, length >= 0 else { throw broken }
                header = (status, range.upperBound, length)
            }
            if let header, data.count - header.start >= header.length {
                return (header.status, data.subdata(in: header.start..<header.start + header.length))
            }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw broken }
            data.append(contentsOf: chunk[..<count])
        }
    }
}
