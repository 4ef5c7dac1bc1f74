// Watches over the inputs: one that crashes, takes too long or takes too much memory is printed before the process ends.
import Foundation
import Synchronization

enum Guard {
    private static let room = 1 << 20
    nonisolated(unsafe) private static let current = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
    private static let length = Atomic<Int>(0)
    /// Number of the input in hand, and when it began, in ms; -1: none.
    private static let number = Atomic<Int>(0)
    private static let began = Atomic<Int>(-1)

    private static var milliseconds: Int { Int(DispatchTime.now().uptimeNanoseconds / 1_000_000) }

    static func start(limit: Int) {
        for signal in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT] {
            // A stack of its own: an overflow of the other is one of the things it tells of.
            var action = sigaction()
            action.__sigaction_handler.sa_handler = { code in
                Guard.show("crash: signal \(code)")
                _exit(1)
            }
            action.sa_flags = Int32(SA_ONSTACK) | Int32(bitPattern: UInt32(SA_RESETHAND))
            sigaction(signal, &action, nil)
        }
        let watcher = Thread {
            while true {
                Thread.sleep(forTimeInterval: 0.1)
                // Relaxed: a late reading only makes the limit a little longer.
                let start = began.load(ordering: .relaxed)
                if start >= 0, milliseconds - start > limit {
                    show("hang: more than \(limit) ms")
                    _exit(1)
                }
            }
        }
        watcher.start()
    }

    static func useSignalStack() {
        var stack = stack_t()
        stack.ss_size = 1 << 16
        stack.ss_sp = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 16)
        sigaltstack(&stack, nil)
    }

    static func begin(_ input: [UInt8], number: Int) {
        let count = min(input.count, room)
        input.withUnsafeBufferPointer { if let base = $0.baseAddress { current.update(from: base, count: count) } }
        length.store(count, ordering: .relaxed)
        self.number.store(number, ordering: .relaxed)
        began.store(milliseconds, ordering: .relaxed)
    }

    static func end() { began.store(-1, ordering: .relaxed) }

    static func show(_ what: String) {
        let text = "\n\(what)\ninput \(number.load(ordering: .relaxed)), \(length.load(ordering: .relaxed)) bytes:\n"
        FileHandle.standardError.write(Data(text.utf8))
        _ = write(2, current, length.load(ordering: .relaxed))
        _ = write(2, "\n", 1)
    }

    static var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
