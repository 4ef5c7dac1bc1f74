// The Unix socket itself: its path, who else may be listening there, and connecting to it.
//
// Invariant: a path is taken only if nothing answers there; a file that is no socket is never removed.
import Glibc

enum ControlSocket {
    /// Longest path that a Unix socket's address holds.
    static var longestPath: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 }

    static func checkLength(_ path: String) throws(ControlError) {
        guard !path.isEmpty, path.utf8.count <= longestPath else {
            throw ControlError("control socket \(path): the path is \(path.utf8.count) bytes long, a Unix socket's has 1 to \(longestPath); choose a shorter one in [control] socket")
        }
    }

    /// Connects and gives the descriptor.
    static func connect(_ path: String) throws(ControlError) -> Int32 {
        try checkLength(path)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ControlError("control socket: \(errorText(errno))") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        if result == 0 { return descriptor }
        let code = errno
        close(descriptor)
        switch code {
        case ENOENT, ECONNREFUSED: throw ControlError("no needletail listens on \(path); start one with needletail run --config FILE, or name its socket with --socket or --config")
        case EACCES, EPERM: throw ControlError("\(path): permission denied; use the user that runs needletail, or root")
        default: throw ControlError("\(path): \(errorText(code))")
        }
    }

    /// Makes the path free for a server: removes a socket that nothing listens on any more.
    static func claim(_ path: String) throws(ControlError) {
        try checkLength(path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw ControlError("control socket \(path): \(errorText(errno))") }
            return
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ControlError("control socket \(path): there is a file of that name which is no socket; remove it or choose another path in [control] socket")
        }
        if let descriptor = try? connect(path) {
            close(descriptor)
            throw ControlError("control socket \(path): another needletail listens there; stop it or choose another path in [control] socket")
        }
        guard unlink(path) == 0 else { throw ControlError("control socket \(path): a stale socket cannot be removed: \(errorText(errno))") }
    }

    static func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
}
