import Testing
import Wire

@Suite struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", 0), ("255.255.255.255", 0xffff_ffff), ("10.0.1.2", 0x0a00_0102),
    ] as [(String, UInt32)])
    func ipv4(text: String, value: UInt32) throws {
        let address = try IPAddress(parsing: text)
        #expect(address == IPAddress(ipv4: value) && address.description == text)
    }

    @Test(arguments: [
        ("", AddressError.Problem.empty), ("10", .wrongGroupCount), ("10.0.1", .wrongGroupCount), ("10.0.1.2.3", .wrongGroupCount), ("10.0.1.", .badGroup),
        (".10.0.1", .badGroup), ("10..1.2", .badGroup), ("256.0.0.1", .groupTooLarge), ("1000.0.0.1", .badGroup), ("10.0.01.2", .leadingZero),
        ("10.0.1.2 ", .badCharacter), (" 10.0.1.2", .badCharacter), ("0x10.0.1.2", .badCharacter), ("10.0.1.-2", .badCharacter), ("10.0.1.٣", .badCharacter),
        (":", .badGroup), (":::", .badGroup), ("::1::", .twoCompressions), ("1:2:3:4:5:6:7", .wrongGroupCount), ("1:2:3:4:5:6:7:8:9", .wrongGroupCount),
        ("1:2:3:4:5:6:7:8::", .wrongGroupCount), ("::1:2:3:4:5:6:7:8", .wrongGroupCount), ("12345::", .badGroup), ("::g", .badCharacter), ("fe80::1%eth0", .badGroup),
        ("1:", .badGroup), (":1", .badGroup), ("::1.2.3", .wrongGroupCount), ("::1.2.3.400", .groupTooLarge), ("1:2:3:4:5:6:7:1.2.3.4", .wrongGroupCount),
        ("::1.2.3.4:5", .badGroup),
    ])
    func refused(text: String, problem: AddressError.Problem) {
        #expect { try IPAddress(parsing: text) } throws: { ($0 as? AddressError)?.problem == problem }
        #expect(IPAddress(text) == nil)
    }

    /// Text, and how RFC 5952 and inet_ntop write it.
    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8:0:0:0:0:0:0001", "2001:db8::1"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"), ("::1.2.3.4", "::1.2.3.4"), ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"), ("fe80::0:1", "fe80::1"),
        ("::ffff:0:0:0", "::ffff:0:0:0"), ("0:0:0:0:0:1:0:0", "::1:0:0"),
    ])
    func ipv6(text: String, canonical: String) throws {
        let address = try IPAddress(parsing: text)
        #expect(address.description == canonical)
        #expect(try IPAddress(parsing: canonical) == address)
    }

    @Test func ipv6RoundTrip() throws {
        var random = SplitMix64(seed: 5)
        for _ in 0..<2000 {
            // Many zero groups, so that compression is exercised.
            let high = random.next() & random.next() & (Bool.random(using: &random) ? 0xffff_0000_ffff_0000 : ~0)
            let low = random.next() & (Bool.random(using: &random) ? 0x0000_0000_ffff_0000 : ~0)
            let address = IPAddress(ipv6High: high, low: low)
            #expect(try IPAddress(parsing: address.description) == address)
        }
    }

    @Test func mac() throws {
        let address = try EthernetAddress(parsing: "02:00:00:00:0A:01")
        #expect(address.rawValue == 0x0200_0000_0a01 && address.description == "02:00:00:00:0a:01")
        for text in ["", "02:00:00:00:0a", "02:00:00:00:0a:01:02", "2:0:0:0:a:1", "02-00-00-00-0a-01", "02:00:00:00:0a:0g", "02:00:00:00:0a:"] {
            #expect(EthernetAddress(text) == nil, "\(text)")
        }
    }

    @Test func prefixes() throws {
        let prefix = try IPPrefix(parsing: "10.0.1.77/24")
        #expect(prefix.description == "10.0.1.77/24" && prefix.network.description == "10.0.1.0/24" && prefix.broadcast?.description == "10.0.1.255")
        #expect(prefix.contains(IPAddress("10.0.1.0")!) && !prefix.contains(IPAddress("10.0.2.0")!) && !prefix.contains(IPAddress("::1")!))
        #expect(try IPPrefix(parsing: "10.0.1.1").length == 32 && IPPrefix(parsing: "fd00::1").length == 128)
        #expect(IPPrefix("10.0.0.0/31")!.broadcast == nil && IPPrefix("fd00::/64")!.broadcast == nil)
        #expect(IPPrefix("0.0.0.0/0")!.contains(IPAddress("255.1.1.1")!) && IPPrefix("::/0")!.contains(IPAddress("ff::1")!))
        #expect(IPPrefix("fd00:1:2:3:4::/65")!.network.description == "fd00:1:2:3::/65")
        for text in ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/024", "10.0.0.0/+8", "::/129", "10.0.0.0/8/8", "/8", "10.0.0.0/ 8"] { #expect(IPPrefix(text) == nil, "\(text)") }
    }

    @Test func scopes() {
        #expect(IPAddress("127.3.4.5")!.isLoopback && IPAddress("::1")!.isLoopback && !IPAddress("0.0.0.1")!.isLoopback)
        #expect(IPAddress("224.0.0.1")!.isMulticast && IPAddress("ff02::1")!.isMulticast && !IPAddress("223.255.255.255")!.isMulticast)
        #expect(IPAddress("169.254.1.1")!.isLinkLocal && IPAddress("fe80::1")!.isLinkLocal && IPAddress("febf::1")!.isLinkLocal && !IPAddress("fec0::1")!.isLinkLocal)
        #expect(IPAddress("240.0.0.1")!.isReserved && !IPAddress("255.255.255.255")!.isReserved && IPAddress("0.1.2.3")!.isZeroNet)
    }
}
