// A process run to its end, with its wall time, CPU time and peak memory.
import Dataplane
import Foundation
import Glibc

enum MeasuredProcess {
    /// - Throws: `InputError` if it cannot be started or does not end with 0.
    static func run(_ words: [String]) throws -> (seconds: Double, cpuSeconds: Double, peakBytes: Int) {
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        let start = DispatchTime.now().uptimeNanoseconds
        var child: pid_t = 0
        guard posix_spawn(&child, words[0], &actions, nil, arguments, environ) == 0 else { throw InputError("\(words[0]): cannot be started") }
        var status: Int32 = 0
        var usage = rusage()
        while wait4(child, &status, 0, &usage) < 0 { guard errno == EINTR else { throw InputError("\(words[0]): was lost") } }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        guard status == 0 else { throw InputError("\(words.joined(separator: " ")): ended with status \(status)") }
        func value(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return (seconds, value(usage.ru_utime) + value(usage.ru_stime), usage.ru_maxrss * 1024)
    }
}
