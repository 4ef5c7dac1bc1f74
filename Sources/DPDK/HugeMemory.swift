// Memory for large tables: flow cache, connection pool, rings. Zeroed, 64-byte aligned, on the NUMA node of its users.
//
// From the EAL's heap when that consists of huge pages; otherwise from the kernel with the wish for transparent huge
// pages (the heap of `--no-huge` is small, fixed, and better kept for packets). `kind` says which it became.
//
// Invariant: the memory is freed when the value dies, so whoever hands out pointers into it keeps it alive.
import CDPDK
import CNuma
import Glibc

public struct HugeMemory: ~Copyable, @unchecked Sendable {
    public enum Kind: String, Sendable { case hugePages = "huge pages", plain = "plain pages" }
    public let base: UnsafeMutableRawPointer
    public let byteCount: Int
    public let kind: Kind
    private let mapped: Int

    /// Zeroed memory. Traps only if the machine has no memory at all; `node` -1 is any. Without `wantsHugePages` it comes in small
    /// pages as it is first used: a packet that comes by new memory then waits microseconds and not the milliseconds that a
    /// virtual machine may take for two megabytes.
    public init(byteCount: Int, node: Int32 = -1, wantsHugePages: Bool = true) {
        precondition(byteCount > 0, "empty allocation")
        self.byteCount = byteCount
        if EAL.hasHugePages, let memory = rte_zmalloc_socket("needletail", byteCount, 64, node) {
            base = memory
            kind = .hugePages
            mapped = 0
            return
        }
        kind = .plain
        // A mapping for whatever deserves huge pages; malloc would hold small blocks better.
        if byteCount >= 1 << 21 {
            let page = 1 << 21
            let bytes = (byteCount + page - 1) & ~(page - 1)
            let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            precondition(memory != MAP_FAILED, "out of memory: \(bytes) bytes")
            // Advice: a refusal changes the speed only.
            if wantsHugePages { _ = madvise(memory, bytes, MADV_HUGEPAGE) }
            if node >= 0, NUMA.isAvailable { numa_tonode_memory(memory, bytes, node) }
            base = memory!
            mapped = bytes
        } else {
            base = .allocate(byteCount: byteCount, alignment: 64)
            base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
            mapped = 0
        }
    }

    deinit {
        if kind == .hugePages {
            // A stopped EAL took its memory along.
            if EAL.hasHugePages { rte_free(base) }
        } else if mapped > 0 {
            munmap(base, mapped)
        } else {
            base.deallocate()
        }
    }
}

extension HugeMemory {
    /// Whether the machine has huge pages reserved that are free now, of any size.
    public static var machineHasHugePages: Bool {
        let root = "/sys/kernel/mm/hugepages"
        guard let directory = opendir(root) else { return false }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            guard name.hasPrefix("hugepages-"), let file = fopen("\(root)/\(name)/free_hugepages", "r") else { continue }
            defer { fclose(file) }
            var digits = [CChar](repeating: 0, count: 32)
            if fgets(&digits, 32, file) != nil, atoi(digits) > 0 { return true }
        }
        return false
    }
}
