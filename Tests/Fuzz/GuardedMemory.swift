// Memory whose end is the end of the world: one byte further is an unmapped page, so an overrun is a crash, not a secret.
import Glibc

struct GuardedMemory: ~Copyable {
    let end: UnsafeMutableRawPointer
    let capacity: Int
    private let base: UnsafeMutableRawPointer
    private let mapped: Int

    init(capacity: Int) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let rounded = (capacity + page - 1) / page * page
        mapped = rounded + page
        base = mmap(nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        precondition(base != MAP_FAILED && mprotect(base + rounded, page, PROT_NONE) == 0, "no guard page to be had")
        end = base + rounded
        self.capacity = rounded
    }

    deinit { munmap(base, mapped) }
}
