// Unix signals as calls on an ordinary thread, where everything is allowed.
import Dispatch
import Glibc

/// Watches until it is released. Do not release it before the program is about to end: the signals stay ignored.
final class SignalWatcher {
    private let sources: [any DispatchSourceSignal]

    init(_ actions: [Int32: @Sendable () -> Void]) {
        sources = actions.map { signal, action in
            // The default action would end the process before the source sees the signal.
            Glibc.signal(signal, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: signal, queue: .global())
            source.setEventHandler(handler: action)
            source.resume()
            return source
        }
    }
}
