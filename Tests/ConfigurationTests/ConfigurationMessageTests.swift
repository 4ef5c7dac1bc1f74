// The message of each thing that can be wrong, with its line.
import Testing

@testable import Configuration

/// A text and what must be said about it. The text follows `Sample.minimal`, so its first line is line 4.
struct MessageCase: CustomTestStringConvertible, Sendable {
    let text: String
    let message: String
    init(_ text: String, _ message: String) {
        self.text = text
        self.message = message
    }
    var testDescription: String { message }
}

@Suite struct ConfigurationMessageTests {
    @Test(arguments: [
        // Unknown keys and tables
        MessageCase("mutu = 1500", "test.toml:4: port.mutu: unknown key (did you mean \"mtu\"?); [[port]] takes name, device, addresses, mtu, mac, rx-queues, tx-queues, rx-descriptors, tx-descriptors, promiscuous, emulate-offload"),
        MessageCase("[eal]\nmain_core = 0", "test.toml:5: eal.main_core: unknown key (did you mean \"main-core\"?); [eal] takes main-core, slow-path-core, worker-cores, share-cores, huge-pages, memory-mb, numa, arguments"),
        MessageCase("[rulset]\nfile = \"x\"", "test.toml:4: rulset: unknown key (did you mean \"ruleset\"?); the file takes seed, eal, worker, port, vlan, pppoe, routing, ruleset, flow-cache, conntrack, nat, reassembly, neighbours, icmp, offload, control, log"),
        MessageCase("[conntrack.timeout]\nquic = 3", "test.toml:5: conntrack.timeout.quic: unknown key; [conntrack.timeout] takes tcp-syn-sent, tcp-syn-recv, tcp-established, tcp-fin-wait, tcp-close-wait, tcp-last-ack, tcp-time-wait, tcp-close, tcp-max-retrans, tcp-unacknowledged, udp, udp-stream, icmp, icmpv6, generic"),
        // Wrong types
        MessageCase("[eal]\nmain-core = \"0\"", "test.toml:5: eal.main-core: is a string (\"0\"); must be an integer from 0 to 1023"),
        MessageCase("[eal]\nmemory-mb = 1.5", "test.toml:5: eal.memory-mb: is a floating-point number; must be an integer from 0 to 1048576"),
        MessageCase("[eal]\nmemory-mb = 2026-11-22", "test.toml:5: eal.memory-mb: is a date; must be an integer from 0 to 1048576"),
        MessageCase("[eal]\nmemory-mb = 12:00:00", "test.toml:5: eal.memory-mb: is a time; must be an integer from 0 to 1048576"),
        MessageCase("[eal]\nmemory-mb = 2026-11-22T12:00:00Z", "test.toml:5: eal.memory-mb: is a date and time; must be an integer from 0 to 1048576"),
        MessageCase("[eal]\nhuge-pages = 1", "test.toml:5: eal.huge-pages: is an integer; must be true, false or \"auto\""),
        MessageCase("[eal]\nnuma = \"yes\"", "test.toml:5: eal.numa: is a string (\"yes\"); must be true or false"),
        MessageCase("[eal]\nworker-cores = 1", "test.toml:5: eal.worker-cores: is an integer (1); must be an array of CPU numbers from 0 to 1023"),
        MessageCase("[eal]\nworker-cores = [\n  1,\n  \"two\",\n]", "test.toml:7: eal.worker-cores: element \"two\" is not allowed; must be an array of CPU numbers from 0 to 1023"),
        MessageCase("[eal]\narguments = [\"--iova-mode=pa\", [1]]", "test.toml:5: eal.arguments: element (an array) is not allowed; must be an array of strings, one for each word"),
        MessageCase("[flow-cache]\nmode = true", "test.toml:5: flow-cache.mode: is a boolean (true); must be one of \"transparent\", \"flowtable\" or \"off\""),
        MessageCase("[[control]]\nsocket = \"x\"", "test.toml:4: control: is an array; must be a table: [control]"),
        MessageCase("[routing]\nroute = \"x\"", "test.toml:5: routing.route: is a string; must be an array of tables: [[routing.route]]"),
        // Out of range
        MessageCase("mtu = 100", "test.toml:4: port.mtu: 100 is not allowed; must be an integer from 576 to 9600 (IPv6 needs 1280)"),
        MessageCase("rx-descriptors = 1000", "test.toml:4: port.rx-descriptors: 1000 is not allowed; must be a power of two from 64 to 32768"),
        MessageCase("[worker]\nburst = 65", "test.toml:5: worker.burst: 65 is not allowed; must be an integer from 1 to 64"),
        MessageCase("[eal]\nworker-cores = [1024]", "test.toml:5: eal.worker-cores: element 1024 is not allowed; must be an array of CPU numbers from 0 to 1023"),
        MessageCase("[conntrack.timeout]\nudp = 0", "test.toml:5: conntrack.timeout.udp: 0 is not allowed; must be an integer from 1 to 31536000"),
        MessageCase("[flow-cache]\nmode = \"flowtables\"", "test.toml:5: flow-cache.mode: \"flowtables\" is not allowed (did you mean \"flowtable\"?); must be one of \"transparent\", \"flowtable\" or \"off\""),
        MessageCase("emulate-offload = \"half\"", "test.toml:4: port.emulate-offload: \"half\" is not allowed; must be one of \"none\", \"full\", \"mlx5\", \"mlx5-hws\", \"nfp\", \"bnxt\", \"sfc\", \"cxgbe\", \"ice\" or \"i40e\""),
        MessageCase("[routing]\nsource = \"kernel\"", "test.toml:5: routing.source: \"kernel\" is not allowed; must be one of \"static\""),
        MessageCase("[log]\nlevel = \"warn\"", "test.toml:5: log.level: \"warn\" is not allowed; must be one of \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\" or \"critical\""),
        // Cores
        MessageCase("[eal]\nworker-cores = []", "test.toml:5: eal.worker-cores: is empty; must name at least one CPU"),
        MessageCase("[eal]\nworker-cores = [1, 1]", "test.toml:5: eal.worker-cores: CPU 1 is listed twice; give each job its own CPU, or set share-cores = true if they are to take turns"),
        MessageCase("[eal]\nworker-cores = [0]", "test.toml:5: eal.worker-cores: CPU 0 is the main-core as well; give each job its own CPU, or set share-cores = true if they are to take turns (main-core and slow-path-core may always be the same)"),
        MessageCase("[eal]\nslow-path-core = 1", "test.toml:4: eal.worker-cores: CPU 1 is the slow-path-core as well; give each job its own CPU, or set share-cores = true if they are to take turns (main-core and slow-path-core may always be the same)"),
        // Ports
        MessageCase("mac = \"02:00:00:00:0a\"", "test.toml:4: port.mac: \"02:00:00:00:0a\" is not allowed; must be a unicast MAC address such as \"02:00:00:00:0a:02\""),
        MessageCase("mac = \"01:00:5e:00:00:01\"", "test.toml:4: port.mac: \"01:00:5e:00:00:01\" is not allowed; must be a unicast MAC address such as \"02:00:00:00:0a:02\""),
        MessageCase("addresses = [\"10.0.0.1\"]", "test.toml:4: port.addresses: element \"10.0.0.1\" is not allowed; must be an array of own unicast addresses with their network's prefix length, such as \"10.0.1.1/24\""),
        MessageCase("addresses = [\"10.0.0.1/33\"]", "test.toml:4: port.addresses: element \"10.0.0.1/33\" is not allowed; must be an array of own unicast addresses with their network's prefix length, such as \"10.0.1.1/24\""),
        MessageCase("addresses = [\"224.0.0.1/4\"]", "test.toml:4: port.addresses: element \"224.0.0.1/4\" is not allowed; must be an array of own unicast addresses with their network's prefix length, such as \"10.0.1.1/24\""),
        MessageCase("mtu = 1000\naddresses = [\"fd00::1/64\"]", "test.toml:5: port.addresses: fd00::1/64 is an IPv6 address, and the port's mtu is 1000; IPv6 needs at least 1280"),
        MessageCase("addresses = [\"10.0.0.1/24\",\n\"10.0.0.1/8\"]", "test.toml:5: port.addresses: 10.0.0.1 is given in line 4 as well; each address belongs to one port"),
        MessageCase("[[port]]\nname = \"r0\"\ndevice = \"net_null1\"", "test.toml:5: port.name: \"r0\" is the name of the port in line 2 as well; each port needs a name of its own"),
        MessageCase("[[port]]\nname = \"r1\"\ndevice = \"net_null0,copy=1\"", "test.toml:6: port.device: \"net_null0\" is the device in line 3 as well; each port needs a device of its own"),
        MessageCase("[[port]]\nname = \"r1\"", "test.toml:4: port.device: missing; each [[port]] needs one"),
        MessageCase("[[port]]\ndevice = \"net_null1\"", "test.toml:4: port.name: missing; each [[port]] needs one"),
        MessageCase("[[port]]\nname = \"a name\"\ndevice = \"net_null1\"", "test.toml:5: port.name: \"a name\" is not allowed; must be 1 to 15 characters, none of them a blank, \"/\" or \":\", and not \"lo\""),
        MessageCase("[[port]]\nname = \"r1\"\ndevice = \"eth0\"", "test.toml:6: port.device: \"eth0\" is not allowed; must be a PCI address such as \"0000:3b:00.0\" or a virtual device such as \"net_af_packet0,iface=eth0\""),
        MessageCase("[[port]]\nname = \"r1\"\ndevice = \"3b:00.9\"", "test.toml:6: port.device: \"3b:00.9\" is not allowed; must be a PCI address such as \"0000:3b:00.0\" or a virtual device such as \"net_af_packet0,iface=eth0\""),
        // VLANs
        MessageCase("[[pppoe]]\nname = \"p\"\nport = \"r0\"\nsession = 0\npeer = \"02:00:00:00:00:01\"", "test.toml:7: pppoe.session: 0 is not allowed; must be an integer from 1 to 65534"),
        MessageCase("[[pppoe]]\nname = \"p\"\nport = \"r9\"\nsession = 5\npeer = \"02:00:00:00:00:01\"", "test.toml:6: pppoe.port: there is no port \"r9\" (did you mean \"r0\"?); must be \"r0\""),
        MessageCase("[[pppoe]]\nname = \"r0\"\nport = \"r0\"\nsession = 5\npeer = \"02:00:00:00:00:01\"", "test.toml:5: pppoe.name: \"r0\" is the name of the interface in line 2 as well; each interface needs a name of its own"),
        MessageCase("[[pppoe]]\nname = \"p\"\nport = \"r0\"\nsession = 5\npeer = \"02:00:00:00:00:01\"\nmtu = 1500", "test.toml:9: pppoe.mtu: 1500 is more than the 1500 of \"r0\" below less 8 for the session's header; must be 0 or at most 1492"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"", "test.toml:4: vlan.id: missing; each [[vlan]] needs one"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"\nid = 4095", "test.toml:7: vlan.id: 4095 is not allowed; must be an integer from 1 to 4094"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r9\"\nid = 5", "test.toml:6: vlan.port: there is no port \"r9\" (did you mean \"r0\"?); must be \"r0\""),
        MessageCase("[[vlan]]\nname = \"r0\"\nport = \"r0\"\nid = 5", "test.toml:5: vlan.name: \"r0\" is the name of the interface in line 2 as well; each interface needs a name of its own"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"\nid = 5\n[[vlan]]\nname = \"w\"\nport = \"r0\"\nid = 5", "test.toml:11: vlan.id: VLAN 5 on \"r0\" is given in line 7 as well; a frame goes to one interface"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"\nid = 5\nmtu = 1600", "test.toml:8: vlan.mtu: 1600 is more than the 1500 of \"r0\" below; must be 0 or at most 1500"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"\nid = 5\nmtu = 100", "test.toml:8: vlan.mtu: 100 is not allowed; must be 0 (that of the interface below) or at least 576"),
        MessageCase("[[vlan]]\nname = \"v\"\nport = \"r0\"\nid = 5\ntag = \"vlan\"", "test.toml:8: vlan.tag: \"vlan\" is not allowed; must be one of \"802.1q\" or \"802.1ad\""),
        MessageCase(
            "[[vlan]]\nname = \"a\"\nport = \"r0\"\nid = 5\n[[vlan]]\nname = \"b\"\nport = \"a\"\nid = 6\n[[vlan]]\nname = \"c\"\nport = \"b\"\nid = 7",
            "test.toml:14: vlan.port: \"b\" is a VLAN on a VLAN already; a frame carries two tags at most"),
        // Routes
        MessageCase("[[routing.route]]\nvia = \"10.0.0.2\"\nport = \"r0\"", "test.toml:4: routing.route.to: missing; each [[routing.route]] needs one"),
        MessageCase("[[routing.route]]\nto = \"10.1.2.3/16\"\nport = \"r0\"", "test.toml:5: routing.route.to: \"10.1.2.3/16\" is not allowed (bits are set behind the prefix: did you mean \"10.1.0.0/16\"?); must be a network such as \"10.0.0.0/8\", \"fd00::/16\" or \"0.0.0.0/0\""),
        MessageCase("[[routing.route]]\nto = \"default\"\nport = \"r0\"", "test.toml:5: routing.route.to: \"default\" is not allowed; must be a network such as \"10.0.0.0/8\", \"fd00::/16\" or \"0.0.0.0/0\""),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"", "test.toml:4: routing.route: has neither via nor port; a route needs a next hop (via), a port, or kind = \"blackhole\", \"unreachable\" or \"prohibit\""),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nvia = \"10.0.0.2\"", "test.toml:6: routing.route.via: 10.0.0.2 is on no port's network; must be inside one of the ports' addresses, or say which port with port = \"NAME\""),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nvia = \"fd00::2\"\nport = \"r0\"", "test.toml:6: routing.route.via: fd00::2 is not of the family of 10.0.0.0/8; an IPv4 route needs an IPv4 next hop, an IPv6 route an IPv6 one"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nvia = \"10.0.0.256\"\nport = \"r0\"", "test.toml:6: routing.route.via: \"10.0.0.256\" is not allowed; must be an IPv4 or IPv6 address such as \"10.0.1.2\" or \"fd00::2\""),
        MessageCase("addresses = [\"10.0.0.1/24\"]\n[[routing.route]]\nto = \"10.0.0.0/8\"\nvia = \"10.0.0.1\"", "test.toml:7: routing.route.via: 10.0.0.1 is the router's own address; must be another router's"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r9\"", "test.toml:6: routing.route.port: there is no port \"r9\" (did you mean \"r0\"?); must be \"r0\""),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r0\"\nsource = \"10.0.0.9\"", "test.toml:7: routing.route.source: 10.0.0.9 is no port's address; must be one of the router's own"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r0\"\n[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r0\"", "test.toml:8: routing.route.to: there is a route to 10.0.0.0/8 with metric 0 in line 5 already; give one of them another metric"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r0\"\ntable = 255", "test.toml:7: routing.route.table: 255 is the table of own addresses, which holds no other routes; 254 is main"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nport = \"r0\"\n[[routing.route.next-hop]]\nport = \"r0\"", "test.toml:6: routing.route.port: stands beside [[routing.route.next-hop]]; write it as another next hop"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\n[[routing.route.next-hop]]\nport = \"r0\"\n[[routing.route.next-hop]]\nport = \"r7\"", "test.toml:9: routing.route.next-hop.port: there is no port \"r7\" (did you mean \"r0\"?); must be \"r0\""),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\n[[routing.route.next-hop]]\nweight = 2", "test.toml:6: routing.route.next-hop: has neither via nor port; a route needs a next hop (via), a port, or kind = \"blackhole\", \"unreachable\" or \"prohibit\""),
        MessageCase("[nat]\nfull-cone = [\"wan\"]", "test.toml:5: nat.full-cone: there is no port \"wan\"; must be \"r0\""),
        // Rules
        MessageCase("[[routing.rule]]\nmark = 1\ntable = 254", "test.toml:4: routing.rule.priority: missing; each [[routing.rule]] needs one"),
        MessageCase("[[routing.rule]]\npriority = 1\nmark = 1", "test.toml:4: routing.rule: has neither table nor action; a rule looks into a table (254 is main), or ends with action = \"blackhole\", \"unreachable\" or \"prohibit\""),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\naction = \"prohibit\"", "test.toml:7: routing.rule.action: stands beside table; a rule does one of both"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 9", "test.toml:6: routing.rule.table: table 9 has no route; write one with [[routing.route]] and table = 9"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 255", "test.toml:6: routing.rule.table: 255, the table of own addresses, is asked before every rule; leave the rule out"),
        MessageCase("[[routing.rule]]\npriority = 40000\ntable = 254", "test.toml:5: routing.rule.priority: 40000 is not allowed; must be an integer from 1 to 32765 (main is asked at 32766)"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\ninput-port = \"r1\"", "test.toml:7: routing.rule.input-port: there is no port \"r1\" (did you mean \"r0\"?); must be \"r0\", or \"lo\" for the router's own packets"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\nfrom = \"10.0.0.0/8\"\nto = \"fd00::/8\"", "test.toml:8: routing.rule.to: fd00::/8 is not of the family of 10.0.0.0/8"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\nfrom = \"10.0.0.0/8\"\nfamily = \"ipv6\"", "test.toml:8: routing.rule.family: \"ipv6\" is not the family of 10.0.0.0/8; leave it out"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\nmask = 255", "test.toml:7: routing.rule.mask: masks nothing without mark; must stand beside it"),
        MessageCase("[[routing.rule]]\npriority = 1\ntable = 254\nsource-ports = [9, 3]", "test.toml:7: routing.rule.source-ports: must be one port, or the first and the last of a range"),
        MessageCase("[[routing.rule]]\npriority = 1\naction = \"prohibit\"\nsuppress-prefix-length = 0", "test.toml:7: routing.rule.suppress-prefix-length: speaks of routes, and the rule looks into no table; give it one with table = NUMBER"),
        MessageCase("[[routing.route]]\nto = \"10.0.0.0/8\"\nkind = \"blackhole\"\nport = \"r0\"", "test.toml:7: routing.route.port: a blackhole route goes nowhere; leave via, port and next hops out"),
        // Neighbours
        MessageCase("[[routing.neighbour]]\nport = \"wan\"\naddress = \"10.0.0.2\"\nmac = \"02:00:00:00:0a:02\"", "test.toml:5: routing.neighbour.port: there is no port \"wan\"; must be \"r0\""),
        MessageCase("[[routing.neighbour]]\nport = \"r0\"\naddress = \"ff02::1\"\nmac = \"02:00:00:00:0a:02\"", "test.toml:6: routing.neighbour.address: ff02::1 is a group address; must be one host's"),
        MessageCase("[[routing.neighbour]]\nport = \"r0\"\naddress = \"10.0.0.2\"", "test.toml:4: routing.neighbour.mac: missing; each [[routing.neighbour]] needs one"),
        MessageCase(
            "[[routing.neighbour]]\nport = \"r0\"\naddress = \"10.0.0.2\"\nmac = \"02:00:00:00:0a:02\"\n[[routing.neighbour]]\nport = \"r0\"\naddress = \"10.0.0.2\"\nmac = \"02:00:00:00:0a:03\"",
            "test.toml:10: routing.neighbour.address: 10.0.0.2 on port \"r0\" is given in line 6 already; each neighbour has one MAC"),
        // Files
        MessageCase("[ruleset]\nfile = \"none.nft\"", "test.toml:5: ruleset.file: \"none.nft\" cannot be read; must be the path of an nftables file, relative paths start at the configuration's directory"),
        MessageCase("[control]\nsocket = \"\"", "test.toml:5: control.socket: \"\" is not allowed; must be the path of a Unix socket, 1 to 107 bytes long"),
        MessageCase("seed = 1", "test.toml:4: port.seed: unknown key; [[port]] takes name, device, addresses, mtu, mac, rx-queues, tx-queues, rx-descriptors, tx-descriptors, promiscuous, emulate-offload"),
    ])
    func says(_ expected: MessageCase) {
        #expect(problems(Sample.minimal + expected.text) == [expected.message])
    }

    @Test func seedMustNotBeNegative() {
        #expect(problems("seed = -1\n" + Sample.minimal) == ["test.toml:1: seed: -1 is not allowed; must be an integer, 0 or greater"])
    }

    @Test func anEmptyFileLacksPorts() {
        #expect(problems("") == ["test.toml:1: port: missing; at least one [[port]] with name and device is needed"])
    }

    @Test(arguments: [
        ("[eal", "test.toml:2: not TOML: a table header ends in ]"),
        ("[[port]", "test.toml:2: not TOML: a table header ends in ]]"),
        ("main-core 0", "test.toml:2: not TOML: an = is expected behind the key main-core"),
        ("!", "test.toml:2: not TOML: a key is expected: letters, digits, - and _"),
        ("eal.", "test.toml:2: not TOML: a key is expected: letters, digits, - and _"),
        ("a =", "test.toml:2: not TOML: a value is expected"),
        ("a = \"x", "test.toml:2: not TOML: the string is not closed; a quote is missing"),
        ("a = '''x\n\n", "test.toml:2: not TOML: the string is not closed; a quote is missing"),
        ("a = [1,\n2", "test.toml:2: not TOML: the array is not closed; a ] is missing"),
        ("a = {b = 1\n", "test.toml:2: not TOML: the inline table is not closed; a } is missing"),
    ]) func whatIsNotTOMLIsSaidWithItsPlace(_ text: String, _ message: String) {
        #expect(problems("seed = 1\n\(text)\n") == [message])
    }

    @Test func aKeyGivenTwiceIsSaid() {
        let found = problems("seed = 1\nseed = 2\n")
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("test.toml:2: not TOML at column "))
    }

    @Test(arguments: ["[.x]", "[[[x]]]", "[]", "[ = ]", "[[ !]]", "["]) func aHeaderNeedsAName(_ header: String) {
        #expect(problems("seed = 1\n\(header)\n") == ["test.toml:2: not TOML: a table header needs a name; write [eal] or [[port]]"])
    }

    @Test func aMissingFileIsSaid() {
        do throws(ConfigurationError) {
            _ = try Configuration.load(file: "/nonexistent/needletail.toml")
            Issue.record("loaded")
        } catch {
            #expect(error.description == "/nonexistent/needletail.toml:1: there is no such file; --config takes the path of a configuration such as conf/needletail.toml")
        }
    }

    @Test func aSocketPathThatGrowsTooLongIsSaid() {
        let file = String(repeating: "d", count: 60) + "/test.toml"
        let text = Sample.minimal + "[control]\nsocket = \"\(String(repeating: "s", count: 60))\""
        #expect(throws: ConfigurationError.self) { try Configuration.parse(text, file: file) }
    }

    @Test func everythingWrongIsSaidAtOnceInTheOrderOfLines() {
        let found = problems("""
            [eal]
            main-core = -1
            worker-cores = []
            [[port]]
            name = "r0"
            device = "eth0"
            mtu = "big"
            [ruleset]
            file = "none.nft"
            [[routing.neighbour]]
            port = "r1"
            address = "10.0.0.300"
            mac = "zz"
            """)
        #expect(found.map { String($0.prefix { $0 != " " }) } == ["test.toml:2:", "test.toml:3:", "test.toml:6:", "test.toml:7:", "test.toml:9:", "test.toml:11:", "test.toml:12:", "test.toml:13:"])
    }
}
