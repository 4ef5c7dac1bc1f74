// net_af_packet over a veth pair, in a network namespace that the test makes for itself: what a frame looks like after
// the kernel had it. Needs the right to make namespaces and iproute2.
import DPDK
import Glibc
import Testing
import Wire

/// A network namespace of the calling thread, with a veth pair a0 - r0 in it; gone when the value dies.
private struct PrivateNetwork: ~Copyable {
    private typealias SetNamespace = @convention(c) (Int32, Int32) -> Int32
    private typealias Unshare = @convention(c) (Int32) -> Int32
    private let previous: Int32
    private let setNamespace: SetNamespace

    private init(previous: Int32, setNamespace: SetNamespace) {
        self.previous = previous
        self.setNamespace = setNamespace
    }

    /// nil if the process may not make one, or the machine has no `ip`.
    static func make() -> PrivateNetwork? {
        guard let setns = dlsym(nil, "setns"), let unshare = dlsym(nil, "unshare") else { return nil }
        let previous = open("/proc/thread-self/ns/net", O_RDONLY)
        guard previous >= 0 else { return nil }
        guard unsafeBitCast(unshare, to: Unshare.self)(0x4000_0000) == 0 else {
            close(previous)
            return nil
        }
        // From here on the value brings the thread back, also when a command fails.
        let network = PrivateNetwork(previous: previous, setNamespace: unsafeBitCast(setns, to: SetNamespace.self))
        for words in ["link add a0 type veth peer name r0", "link set a0 addrgenmode none", "link set r0 addrgenmode none",
                      "link set r0 address 02:00:00:00:0a:01", "link set a0 up", "link set r0 up"] {
            // posix_spawn: the command runs in the namespace of this thread.
            var arguments: [UnsafeMutablePointer<CChar>?] = (["ip"] + words.split(separator: " ").map(String.init)).map { strdup($0) } + [nil]
            defer { for argument in arguments { free(argument) } }
            var process: pid_t = 0, status: Int32 = -1
            guard posix_spawnp(&process, "ip", nil, nil, &arguments, environ) == 0, waitpid(process, &status, 0) == process, status == 0 else { return nil }
        }
        return network
    }

    deinit {
        _ = setNamespace(previous, 0)
        close(previous)
    }
}

extension DPDKSuite {
    private func drain(_ port: EthernetPort, milliseconds: Int = 300) -> [[UInt8]] {
        var batch = PacketBatch(capacity: 32)
        var frames: [[UInt8]] = []
        for _ in 0 ..< milliseconds where frames.isEmpty {
            port.receiveQueue(0).receive(into: &batch)
            for index in 0 ..< batch.count { frames.append(Array(UnsafeRawBufferPointer(start: batch[index].data, count: batch[index].length))) }
            batch.freeAll()
            usleep(1000)
        }
        return frames
    }

    @Test func afPacketLeavesFramesAlone() throws {
        guard let network = PrivateNetwork.make() else {
            print("skipped afPacketLeavesFramesAlone: no right to make a network namespace, or no `ip` command")
            return
        }
        try withPool { pool in
            let sender = try EthernetPort(name: "a", device: "net_af_packet7,iface=a0")
            let receiver = try EthernetPort(name: "r", device: "net_af_packet8,iface=r0")
            #expect(receiver.macAddress == EthernetAddress(rawValue: 0x0200_0000_0a01))
            for port in [sender, receiver] {
                _ = try port.configure(PortConfiguration(), pools: [pool])
                try port.start()
            }
            // The kernel refuses to send until it has noticed that the link is up.
            for _ in 0 ..< 2000 where !receiver.link.isUp || !sender.link.isUp { usleep(1000) }
            usleep(200_000)
            let cases: [(destination: [UInt8], link: [UInt8], payload: Int)] = [
                ([2, 0, 0, 0, 10, 1], [8, 0], 46), ([2, 0, 0, 0, 99, 99], [8, 0], 46), ([255, 255, 255, 255, 255, 255], [8, 6], 28),
                ([2, 0, 0, 0, 10, 1], [0x81, 0, 0xa0, 5, 8, 0], 46), ([2, 0, 0, 0, 10, 1], [0x81, 0, 0, 7, 0x81, 0, 0, 5, 8, 0], 46),
                ([2, 0, 0, 0, 10, 1], [8, 0], 1500), ([2, 0, 0, 0, 10, 1], [0x81, 0, 0, 5, 8, 0], 1500),
            ]
            for (destination, link, payload) in cases {
                let frame = destination + [2, 0, 0, 0, 10, 2] + link + (0 ..< payload).map { UInt8(truncatingIfNeeded: $0) }
                var batch = PacketBatch(capacity: 1)
                _ = batch.append(try #require(frame.withUnsafeBytes { pool.packet($0) }))
                #expect(sender.transmitQueue(0).transmitOrFree(&batch) == 0)
                #expect(drain(receiver) == [frame])
                #expect(drain(sender, milliseconds: 1).isEmpty, "a port receives what it sent")
            }
            sender.close()
            receiver.close()
        }
        _ = consume network
    }
}
