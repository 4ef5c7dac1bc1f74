// The register file: 256 bytes in which values lie in network byte order.
//
// Invariant: the compiler hands out places and lengths that stay inside (`Registers.size`); nothing from a packet ever
// is an offset here.
import Wire

enum Registers {
    static let size = 256
}

extension UnsafeMutableRawPointer {
    /// The number in `length` (1 to 8) bytes at `offset`, most significant first.
    @inline(__always) func number(_ offset: Int, _ length: Int) -> UInt64 {
        switch length {
        case 4: return UInt64(UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        case 2: return UInt64(UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        case 1: return UInt64(load(fromByteOffset: offset, as: UInt8.self))
        case 8: return UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        default:
            var result: UInt64 = 0
            for index in 0 ..< length { result = result << 8 | UInt64(load(fromByteOffset: offset &+ index, as: UInt8.self)) }
            return result
        }
    }

    @inline(__always) func setNumber(_ value: UInt64, _ offset: Int, _ length: Int) {
        switch length {
        case 4: storeBytes(of: UInt32(truncatingIfNeeded: value).bigEndian, toByteOffset: offset, as: UInt32.self)
        case 2: storeBytes(of: UInt16(truncatingIfNeeded: value).bigEndian, toByteOffset: offset, as: UInt16.self)
        case 1: storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
        case 8: storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
        default:
            var rest = value
            var index = length
            while index > 0 {
                index &-= 1
                storeBytes(of: index >= length &- 8 ? UInt8(truncatingIfNeeded: rest) : 0, toByteOffset: offset &+ index, as: UInt8.self)
                rest >>= 8
            }
        }
    }

    @inline(__always) func setAddress(_ address: IPAddress, _ offset: Int, _ length: Int) {
        if length == 16 { setNumber(address.high, offset, 8) }
        setNumber(address.low, length == 16 ? offset &+ 8 : offset, length == 16 ? 8 : 4)
    }

    @inline(__always) func address(_ offset: Int, _ family: AddressFamily) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: number(offset, 4))) : IPAddress(ipv6High: number(offset, 8), low: number(offset &+ 8, 8))
    }
}

extension UnsafeRawPointer {
    /// As memcmp: negative, zero or positive.
    @inline(__always) func compare(_ other: UnsafeRawPointer, _ length: Int) -> Int {
        var index = 0
        while index &+ 8 <= length {
            let a = UInt64(bigEndian: loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let b = UInt64(bigEndian: other.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            if a != b { return a < b ? -1 : 1 }
            index &+= 8
        }
        while index < length {
            let a = load(fromByteOffset: index, as: UInt8.self), b = other.load(fromByteOffset: index, as: UInt8.self)
            if a != b { return Int(a) &- Int(b) }
            index &+= 1
        }
        return 0
    }

    @inline(__always) func equals(_ other: UnsafeRawPointer, _ length: Int) -> Bool {
        var index = 0
        while index &+ 8 <= length {
            if loadUnaligned(fromByteOffset: index, as: UInt64.self) != other.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
            index &+= 8
        }
        while index < length {
            if load(fromByteOffset: index, as: UInt8.self) != other.load(fromByteOffset: index, as: UInt8.self) { return false }
            index &+= 1
        }
        return true
    }
}
