// The names of values: what each type calls its numbers, reading and looking up.
import Foundation

enum Symbols {
    typealias Table = [(String, UInt128)]
    static let logLevels = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"]

    /// In the order in which bit masks are listed. A second name for a number is read, not listed.
    static func table(_ basic: BasicType) -> Table {
        switch basic {
        case .etherType: etherTypes
        case .arpOperation: [("request", 1), ("reply", 2), ("rrequest", 3), ("rreply", 4), ("inrequest", 8), ("inreply", 9), ("nak", 10)]
        case .icmpType: icmpTypes
        case .icmpCode: icmpCodes
        case .icmpv6Type: icmpv6Types
        case .icmpv6Code: icmpv6Codes
        case .icmpxCode: icmpxCodes
        case .igmpType: [("membership-query", 0x11), ("membership-report-v1", 0x12), ("membership-report-v2", 0x16), ("membership-report-v3", 0x22), ("leave-group", 0x17)]
        case .tcpFlag: [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128)]
        case .dccpPacketType: [("request", 0), ("response", 1), ("data", 2), ("ack", 3), ("dataack", 4), ("closereq", 5), ("close", 6), ("reset", 7), ("sync", 8), ("syncack", 9)]
        case .mhType: mobilityTypes
        case .ctState: [("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)]
        case .ctDirection: [("original", 0), ("reply", 1)]
        case .ctStatus: [("expected", 1), ("seen-reply", 2), ("assured", 4), ("confirmed", 8), ("snat", 16), ("dnat", 32), ("dying", 512)]
        case .ctEvent: [("new", 1), ("related", 2), ("destroy", 4), ("reply", 8), ("assured", 16), ("protoinfo", 32), ("helper", 64), ("mark", 128), ("seqadj", 256), ("secmark", 512), ("label", 1024)]
        case .packetType: [("host", 0), ("unicast", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)]
        case .deviceGroup: [("default", 0)]
        case .dscp: dscps
        case .ecn: [("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)]
        case .fibAddressType: [("unspec", 0), ("unicast", 1), ("local", 2), ("broadcast", 3), ("anycast", 4), ("multicast", 5), ("blackhole", 6), ("unreachable", 7), ("prohibit", 8)]
        case .interfaceType: [("ether", 1), ("ppp", 512), ("ipip", 768), ("ipip6", 769), ("loopback", 772), ("sit", 776), ("ipgre", 778)]
        case .nfProto: [("ipv4", 2), ("ipv6", 10)]
        case .boolean: [("exists", 1), ("missing", 0)]
        case .day: [("Sunday", 0), ("Monday", 1), ("Tuesday", 2), ("Wednesday", 3), ("Thursday", 4), ("Friday", 5), ("Saturday", 6)]
        case .mptcpSubtype: [("mp-capable", 0), ("mp-join", 1), ("dss", 2), ("add-addr", 3), ("remove-addr", 4), ("mp-prio", 5), ("mp-fail", 6), ("mp-fastclose", 7), ("mp-tcprst", 8)]
        case .realm: [("cosmos", 0)]
        case .inetProtocol: protocols
        default: []
        }
    }
    static let etherTypes: Table = [("ip", 0x0800), ("arp", 0x0806), ("ip6", 0x86dd), ("8021q", 0x8100), ("vlan", 0x8100), ("8021ad", 0x88a8)]
    static let icmpTypes: Table = [
        ("echo-reply", 0), ("destination-unreachable", 3), ("source-quench", 4), ("redirect", 5), ("echo-request", 8), ("router-advertisement", 9), ("router-solicitation", 10),
        ("time-exceeded", 11), ("parameter-problem", 12), ("timestamp-request", 13), ("timestamp-reply", 14), ("info-request", 15), ("info-reply", 16),
        ("address-mask-request", 17), ("address-mask-reply", 18),
    ]
    static let icmpCodes: Table = [
        ("net-unreachable", 0), ("host-unreachable", 1), ("prot-unreachable", 2), ("port-unreachable", 3), ("frag-needed", 4), ("net-prohibited", 9), ("host-prohibited", 10), ("admin-prohibited", 13),
    ]
    static let icmpv6Types: Table = [
        ("destination-unreachable", 1), ("packet-too-big", 2), ("time-exceeded", 3), ("parameter-problem", 4), ("echo-request", 128), ("echo-reply", 129),
        ("mld-listener-query", 130), ("mld-listener-report", 131), ("mld-listener-done", 132), ("mld-listener-reduction", 132), ("nd-router-solicit", 133),
        ("nd-router-advert", 134), ("nd-neighbor-solicit", 135), ("nd-neighbor-advert", 136), ("nd-redirect", 137), ("router-renumbering", 138),
        ("ind-neighbor-solicit", 141), ("ind-neighbor-advert", 142), ("mld2-listener-report", 143),
    ]
    static let icmpv6Codes: Table = [("no-route", 0), ("admin-prohibited", 1), ("addr-unreachable", 3), ("port-unreachable", 4), ("policy-fail", 5), ("reject-route", 6)]
    static let icmpxCodes: Table = [("port-unreachable", 1), ("admin-prohibited", 3), ("no-route", 0), ("host-unreachable", 2)]
    static let mobilityTypes: Table = [
        ("binding-refresh-request", 0), ("home-test-init", 1), ("careof-test-init", 2), ("home-test", 3), ("careof-test", 4), ("binding-update", 5), ("binding-acknowledgement", 6),
        ("binding-error", 7), ("fast-binding-update", 8), ("fast-binding-acknowledgement", 9), ("fast-binding-advertisement", 10), ("experimental-mobility-header", 11), ("home-agent-switch-message", 12),
    ]
    static let dscps: Table = [
        ("cs0", 0), ("cs1", 8), ("cs2", 16), ("cs3", 24), ("cs4", 32), ("cs5", 40), ("cs6", 48), ("cs7", 56), ("df", 0), ("be", 0), ("lephb", 1), ("af11", 10), ("af12", 12), ("af13", 14),
        ("af21", 18), ("af22", 20), ("af23", 22), ("af31", 26), ("af32", 28), ("af33", 30), ("af41", 34), ("af42", 36), ("af43", 38), ("va", 44), ("ef", 46),
    ]
    static let protocols: Table = [
        ("ip", 0), ("icmp", 1), ("igmp", 2), ("ggp", 3), ("ipencap", 4), ("st", 5), ("tcp", 6), ("egp", 8), ("igp", 9), ("pup", 12), ("udp", 17), ("hmp", 20), ("xns-idp", 22), ("rdp", 27),
        ("iso-tp4", 29), ("dccp", 33), ("xtp", 36), ("ddp", 37), ("idpr-cmtp", 38), ("ipv6", 41), ("ipv6-route", 43), ("ipv6-frag", 44), ("idrp", 45), ("rsvp", 46), ("gre", 47), ("esp", 50), ("ah", 51),
        ("skip", 57), ("ipv6-icmp", 58), ("icmpv6", 58), ("ipv6-nonxt", 59), ("ipv6-opts", 60), ("rspf", 73), ("vmtp", 81), ("eigrp", 88), ("ospf", 89), ("ax.25", 93), ("ipip", 94), ("etherip", 97),
        ("encap", 98), ("pim", 103), ("ipcomp", 108), ("comp", 108), ("vrrp", 112), ("l2tp", 115), ("isis", 124), ("sctp", 132), ("fc", 133), ("mobility-header", 135), ("udplite", 136),
        ("mpls-in-ip", 137), ("manet", 138), ("hip", 139), ("shim6", 140), ("wesp", 141), ("rohc", 142), ("ethernet", 143), ("hopopt", 0), ("auth", 51),
    ]
    /// The services that rulesets name most; the rest is asked of the system.
    static let services: [String: UInt16] = [
        "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "whois": 43, "tacacs": 49, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "gopher": 70, "finger": 79,
        "http": 80, "www": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "auth": 113, "ident": 113, "nntp": 119, "ntp": 123, "epmap": 135, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139,
        "imap": 143, "imap2": 143, "snmp": 161, "snmp-trap": 162, "xdmcp": 177, "bgp": 179, "irc": 194, "imap3": 220, "ldap": 389, "https": 443, "microsoft-ds": 445, "submissions": 465, "ssmtp": 465, "urd": 465,
        "isakmp": 500, "exec": 512, "login": 513, "syslog": 514, "shell": 514, "printer": 515, "route": 520, "ripng": 521, "dhcpv6-client": 546, "dhcpv6-server": 547, "rtsp": 554, "nntps": 563, "submission": 587, "ipp": 631, "ldaps": 636, "domain-s": 853,
        "rsync": 873, "ftps-data": 989, "ftps": 990, "telnets": 992, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433, "ms-sql-m": 1434, "l2f": 1701, "l2tp": 1701, "radius": 1812, "radius-acct": 1813,
        "nfs": 2049, "mysql": 3306, "rdp": 3389, "ms-wbt-server": 3389, "svn": 3690, "ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061, "xmpp-client": 5222, "xmpp-server": 5269, "mdns": 5353, "postgresql": 5432, "rfb": 5900,
        "x11": 6000, "redis": 6379, "ircd": 6667, "http-alt": 8080, "webcache": 8080, "bacula-dir": 9101, "git": 9418, "webmin": 10000, "zabbix-agent": 10050,
    ]

    static func service(_ name: String) -> UInt16? {
        if let port = services[name] { return port }
        guard let entry = getservbyname(name, nil) else { return nil }
        return UInt16(truncatingIfNeeded: entry.pointee.s_port).byteSwapped
    }
    static func serviceName(_ port: UInt16) -> String? {
        guard let entry = getservbyport(Int32(port.byteSwapped), nil) else { return nil }
        return String(cString: entry.pointee.s_name)
    }
    static func user(_ name: String) -> UInt32? {
        if name == "root" { return 0 }
        return getpwnam(name)?.pointee.pw_uid
    }
    static func group(_ name: String) -> UInt32? {
        if name == "root" { return 0 }
        return getgrnam(name)?.pointee.gr_gid
    }

    static func value(_ name: String, _ basic: BasicType) -> UInt128? { table(basic).first { $0.0 == name }?.1 }
    static func name(_ value: UInt128, _ basic: BasicType) -> String? { table(basic).first { $0.1 == value }?.0 }

    // MARK: Addresses

    static func ipv4(_ text: String) -> UInt128? {
        var address = in_addr()
        guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
        return UInt128(UInt32(bigEndian: address.s_addr))
    }

    static func ipv6(_ text: String) -> UInt128? {
        var address = in6_addr()
        guard inet_pton(AF_INET6, text, &address) == 1 else { return nil }
        return withUnsafeBytes(of: address) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } }
    }

    static func ipv4Text(_ value: UInt128) -> String {
        "\(value >> 24 & 255).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }

    static func ipv6Text(_ value: UInt128) -> String {
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) { bytes in
            for index in 0..<16 { bytes[index] = UInt8(truncatingIfNeeded: value >> UInt128(8 * (15 - index))) }
        }
        var buffer = [CChar](repeating: 0, count: 64)
        inet_ntop(AF_INET6, &address, &buffer, 64)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func etherAddress(_ text: String) -> UInt128? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var value: UInt128 = 0
        for part in parts {
            guard part.utf8.count <= 2, let byte = UInt8(part, radix: 16) else { return nil }
            value = value << 8 | UInt128(byte)
        }
        return value
    }

    static func etherText(_ value: UInt128) -> String {
        (0..<6).map { hex(UInt8(truncatingIfNeeded: value >> UInt128(40 - 8 * $0)), 2) }.joined(separator: ":")
    }

    static func hex<T: BinaryInteger>(_ value: T, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// A name padded to 16 bytes.
    static func string(_ text: String) -> UInt128? {
        let bytes = Array(text.utf8)
        guard bytes.count <= 16 else { return nil }
        return (0..<16).reduce(UInt128(0)) { $0 << 8 | UInt128($1 < bytes.count ? bytes[$1] : 0) }
    }
}

/// Users and groups of the machine by number.
enum UserNames {
    static func user(_ number: UInt32) -> String? { getpwuid(number).map { String(cString: $0.pointee.pw_name) } }
    static func group(_ number: UInt32) -> String? { getgrgid(number).map { String(cString: $0.pointee.gr_name) } }
}
