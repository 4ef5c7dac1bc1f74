// Text to a constant of a type, with the checks that nft makes.
import Foundation

struct EvaluationError: Error {
    var message: String
    var location: SourceRange
    var others: [SourceRange] = []
}

enum ValueReader {
    /// The constant that an unquoted or quoted word means as a value of the type.
    static func read(_ text: String, quoted: Bool, type: Datatype, at place: SourceRange, interfaces: [String]?) throws -> Value {
        func fail(_ message: String) -> EvaluationError { EvaluationError(message: message, location: place) }
        func number(_ what: String? = nil) throws -> Value {
            guard let number = Numbers.wide(text) else {
                throw fail(what ?? "Could not parse \(Datatypes.description(type))")
            }
            return try check(Value(number, type), at: place)
        }
        switch type.basic {
        case .invalid: throw fail("Can't parse symbolic invalid expressions")
        case .ipv4Address:
            if let address = Symbols.ipv4(text) { return Value(address, type) }
            if let number = Numbers.wide(text), number > 0xffff_ffff || text.hasPrefix("0x") || quoted == false && Lexer.isDigit(text.utf8.first ?? 0) && !text.contains(":") && !text.contains(".") {
                if number <= 0xffff_ffff { return Value(number, type) }
            }
            if let resolved = try resolve(text, AF_INET, place) { return Value(resolved, type) }
            throw fail("Could not resolve hostname: " + (Symbols.ipv6(text) != nil ? "Address family for hostname not supported" : "Name or service not known"))
        case .ipv6Address:
            if let address = Symbols.ipv6(text) { return Value(address, type) }
            if let resolved = try resolve(text, AF_INET6, place) { return Value(resolved, type) }
            throw fail(Symbols.ipv4(text) != nil || Numbers.wide(text) != nil ? "Could not resolve hostname: Address family for hostname not supported" : "Could not resolve hostname: Name or service not known")
        case .etherAddress:
            if let address = Symbols.etherAddress(text) { return Value(address, type) }
            // A lone number is read as one hexadecimal byte.
            if let byte = Numbers.wide(text).flatMap({ UInt8(String($0), radix: 16) }) { return Value(UInt128(byte), type) }
            throw fail("Could not parse Ethernet address expression")
        case .linkAddress:
            if let address = Symbols.etherAddress(text) { return Value(address, type) }
            throw fail("Could not parse link layer address expression")
        case .inetService:
            if let number = Numbers.wide(text) {
                if number > 0xffff { throw fail("Service out of range") }
                return Value(number, type)
            }
            if let port = Symbols.service(text) { return Value(UInt128(port), type) }
            throw fail("Could not resolve service: Servname not supported for ai_socktype")
        case .inetProtocol:
            if let number = Numbers.wide(text) {
                if number > 255 { throw fail("Protocol out of range") }
                return Value(number, type)
            }
            if let known = Symbols.value(text, .inetProtocol) { return Value(known, type) }
            throw fail("Could not resolve protocol name")
        case .interfaceIndex:
            if quoted == false, let number = Numbers.wide(text) { return try check(Value(number, type), at: place) }
            if let interfaces {
                if let index = interfaces.firstIndex(of: text) { return Value(UInt128(index + 1), type) }
                throw fail("Interface does not exist")
            }
            return Value(UInt128(InterfaceNames.index(of: text)), type)
        case .interfaceName, .interfaceKind:
            if text.utf8.count >= 16 { throw fail("String exceeds maximum length of 16") }
            if text.isEmpty { throw fail("Empty string is not allowed") }
            return Value(Symbols.string(text) ?? 0, type)
        case .string, .osfName:
            if text.utf8.count >= 16 && type.basic == .osfName || text.utf8.count > 16 { throw fail("String exceeds maximum length of 16") }
            if text.isEmpty { throw fail("Empty string is not allowed") }
            return Value(Symbols.string(text) ?? 0, type)
        case .time:
            guard let milliseconds = Numbers.time(text) else { throw fail("Could not parse time") }
            return Value(UInt128(milliseconds), type)
        case .date:
            if !quoted, let number = Numbers.wide(text) { return Value(number &* 1_000_000_000, type) }
            guard let seconds = DateText.date(text) else { throw fail("Error parsing date") }
            return Value(UInt128(UInt64(bitPattern: seconds)) &* 1_000_000_000 & UInt128(UInt64.max), type)
        case .hour:
            guard let seconds = DateText.hour(text) else { throw fail("Can't parse HH:MM[:SS] input") }
            return Value(UInt128(seconds), type)
        case .day:
            if let number = Numbers.wide(text) {
                if number > 6 { throw fail("Value \(number) exceeds valid range 0-6") }
                return Value(number, type)
            }
            let matches = Symbols.table(.day).filter { $0.0.lowercased().hasPrefix(text.lowercased()) && text.utf8.count >= 1 }
            if matches.count == 1 { return Value(matches[0].1, type) }
            throw fail("Could not parse Day of week of packet reception")
        case .userID:
            if let number = Numbers.wide(text) { return try check(Value(number, type), at: place) }
            if let user = Symbols.user(text) { return Value(UInt128(user), type) }
            throw fail("User does not exist")
        case .groupID:
            if let number = Numbers.wide(text) { return try check(Value(number, type), at: place) }
            if let group = Symbols.group(text) { return Value(UInt128(group), type) }
            throw fail("Group does not exist")
        case .classID:
            if text == "root" { return Value(0xffff_ffff, type) }
            if text == "none" { return Value(0, type) }
            if text.contains(":") {
                let parts = text.split(separator: ":", omittingEmptySubsequences: false)
                if parts.count == 2, let major = UInt32(parts[0].isEmpty ? "0" : parts[0], radix: 16), let minor = UInt32(parts[1].isEmpty ? "0" : parts[1], radix: 16), major <= 0xffff, minor <= 0xffff {
                    return Value(UInt128(major << 16 | minor), type)
                }
                throw fail("Could not parse TC classid")
            }
            return try number()
        case .ctLabel:
            if let bit = Numbers.wide(text) {
                if bit > 127 { throw fail("Value \(bit) exceeds valid range 0-127") }
                return Value(UInt128(1) << bit, type)
            }
            throw fail("ct label: unknown label '\(text)'")
        case .cgroupV2:
            if !quoted, let number = Numbers.wide(text) { return Value(number, type) }
            return Value(CgroupNames.identifier(of: text), type)
        case .boolean where Symbols.value(text, .boolean) == nil:
            guard let number = Numbers.wide(text) else { throw fail("Could not parse boolean type") }
            if number > 1 { throw fail("Value \(number) exceeds valid range 0-1") }
            return Value(number, type)
        case .mark where Numbers.wide(text) == nil:
            throw fail("Could not parse packet mark")
        default:
            if let known = Symbols.value(text, type.basic) { return Value(known, type) }
            if let number = Numbers.wide(text) { return try check(Value(number, type), at: place) }
            throw fail("Could not parse \(Datatypes.description(type))")
        }
    }

    static func check(_ value: Value, at place: SourceRange) throws -> Value {
        if value.type.bits < 128, value.type.bits > 0, value.number >> UInt128(value.type.bits) != 0 {
            throw EvaluationError(message: "Value \(value.number) exceeds valid range 0-\((UInt128(1) << UInt128(value.type.bits)) - 1)", location: place)
        }
        return value
    }

    /// Host names are looked up once, as nft does; more than one address is an error.
    private static func resolve(_ name: String, _ family: Int32, _ place: SourceRange) throws -> UInt128? {
        guard let first = name.utf8.first, Lexer.isLetter(first), !name.contains(":") else { return nil }
        if name == "localhost" { return family == AF_INET ? 0x7f00_0001 : 1 }
        guard name.contains("."), name.last != "." else { return nil }
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var result: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &result) == 0, let found = result else { return nil }
        defer { freeaddrinfo(result) }
        if found.pointee.ai_next != nil { throw EvaluationError(message: "Hostname resolves to multiple addresses", location: place) }
        guard let address = found.pointee.ai_addr else { return nil }
        if family == AF_INET {
            return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt128(UInt32(bigEndian: $0.pointee.sin_addr.s_addr)) }
        }
        return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
            withUnsafeBytes(of: pointer.pointee.sin6_addr) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
        }
    }
}

/// Interface numbers for rulesets that are checked where no interfaces are known: `lo` is 1, every other name gets the next.
enum InterfaceNames {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var names = ["lo"]
    static func index(of name: String) -> Int {
        lock.withLock {
            if let index = names.firstIndex(of: name) { return index + 1 }
            names.append(name)
            return names.count
        }
    }
    static func replace(_ list: [String]) { lock.withLock { if names != list { names = list } } }
    static func name(of index: Int) -> String? { lock.withLock { index >= 1 && index <= names.count ? names[index - 1] : nil } }
}

/// Control group paths have no numbers outside Linux: each path gets one.
enum CgroupNames {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var paths: [String] = []
    static func identifier(of path: String) -> UInt128 {
        lock.withLock {
            if let index = paths.firstIndex(of: path) { return UInt128(index + 1) }
            paths.append(path)
            return UInt128(paths.count)
        }
    }
    static func path(of identifier: UInt128) -> String? { lock.withLock { identifier >= 1 && identifier <= UInt128(paths.count) ? paths[Int(identifier) - 1] : nil } }
}

/// Dates and hours in the zone of the process.
enum DateText {
    static func offset(at seconds: Int) -> Int {
        var time = time_t(seconds), parts = tm()
        localtime_r(&time, &parts)
        return parts.tm_gmtoff
    }

    /// Seconds since 1970.
    static func date(_ text: String) -> Int64? {
        let halves = text.split(separator: " ")
        guard halves.count == 1 || halves.count == 2 else { return nil }
        let day = halves[0].split(separator: "-")
        guard day.count == 3, let year = Int32(day[0]), let month = Int32(day[1]), let dayOfMonth = Int32(day[2]), (1900...9999).contains(year), (1...12).contains(month), (1...31).contains(dayOfMonth) else { return nil }
        var parts = tm()
        parts.tm_year = year - 1900
        parts.tm_mon = month - 1
        parts.tm_mday = dayOfMonth
        if halves.count == 2 {
            let clock = halves[1].split(separator: ":").map { Int32($0) ?? -1 }
            guard clock.count == 2 || clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]) else { return nil }
            parts.tm_hour = clock[0]
            parts.tm_min = clock[1]
            if clock.count == 3 {
                guard (0...60).contains(clock[2]) else { return nil }
                parts.tm_sec = clock[2]
            }
        }
        parts.tm_isdst = -1
        return Int64(mktime(&parts))
    }

    static func dateText(_ nanoseconds: UInt64) -> String {
        var time = time_t(nanoseconds / 1_000_000_000), parts = tm()
        localtime_r(&time, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    /// Seconds since midnight UTC of a local time.
    static func hour(_ text: String) -> Int? {
        let clock = text.split(separator: ":", omittingEmptySubsequences: false)
        if clock.count == 1, let seconds = Int(text), seconds >= 0, seconds <= 86400 { return seconds }
        guard clock.count == 2 || clock.count == 3, let hour = Int(clock[0]), let minute = Int(clock[1]), (0...24).contains(hour), (0...59).contains(minute) else { return nil }
        var seconds = hour * 3600 + minute * 60
        if clock.count == 3 {
            guard let second = Int(clock[2]), (0...59).contains(second) else { return nil }
            seconds += second
        }
        return ((seconds - offset(at: Int(Foundation.time(nil)))) % 86400 + 86400) % 86400
    }

    static func hourText(_ seconds: Int) -> String {
        let local = ((seconds + offset(at: Int(Foundation.time(nil)))) % 86400 + 86400) % 86400
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let base = "\(two(local / 3600)):\(two(local % 3600 / 60))"
        return local % 60 == 0 ? base : base + ":" + two(local % 60)
    }
}
