// The JSON of rules, and that it is read back.
import Foundation
import Testing

@testable import Ruleset

/// A rule and the `expr` of its JSON.
struct JSONRow: Sendable, CustomTestStringConvertible {
    let family: String
    let rule: String
    let json: String
    init(_ family: String, _ rule: String, _ json: String) {
        self.family = family
        self.rule = rule
        self.json = json
    }
    var testDescription: String { "\(family): \(rule)" }
}

@Suite struct RuleJSONTests {
    static let rows: [JSONRow] = [
        JSONRow("bridge", "ether saddr 02:00:00:00:00:01 accept", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "saddr"}}, "right": "02:00:00:00:00:01"}}, {"accept": null}]"#),
        JSONRow("bridge", "ether daddr != { 02:00:00:00:00:09, 02:00:00:00:00:03 }", #"[{"match": {"op": "!=", "left": {"payload": {"protocol": "ether", "field": "daddr"}}, "right": {"set": ["02:00:00:00:00:03", "02:00:00:00:00:09"]}}}]"#),
        JSONRow("bridge", "ether type ip6 counter", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "type"}}, "right": "ip6"}}, {"counter": null}]"#),
        JSONRow("bridge", "ether type 0x88cc drop", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "type"}}, "right": 35020}}, {"drop": null}]"#),
        JSONRow("bridge", "vlan id { 10-20, 200 } drop", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "vlan", "field": "id"}}, "right": {"set": [{"range": [10, 20]}, 200]}}}, {"drop": null}]"#),
        JSONRow("bridge", "vlan pcp 5 vlan id != 7", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "vlan", "field": "pcp"}}, "right": 5}}, {"match": {"op": "!=", "left": {"payload": {"protocol": "vlan", "field": "id"}}, "right": 7}}]"#),
        JSONRow("bridge", "vlan id set 12", #"[{"mangle": {"key": {"payload": {"protocol": "vlan", "field": "id"}}, "value": 12}}]"#),
        JSONRow("arp", "arp saddr ip 192.0.2.0/26 drop", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "arp", "field": "saddr ip"}}, "right": {"prefix": {"addr": "192.0.2.0", "len": 26}}}}, {"drop": null}]"#),
        JSONRow("ip", "ip hdrlength 6-15", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "hdrlength"}}, "right": {"range": [6, 15]}}}]"#),
        JSONRow("ip", "ip saddr 192.0.2.77/28", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "192.0.2.64", "len": 28}}}}]"#),
        JSONRow("ip", "ip daddr != { 198.51.100.1, 192.0.2.0/25, 203.0.113.4-203.0.113.9 }", #"[{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"set": [{"prefix": {"addr": "192.0.2.0", "len": 25}}, "198.51.100.1", {"range": ["203.0.113.4", "203.0.113.9"]}]}}}]"#),
        JSONRow("ip", "tcp dport { 8443, 443, 1000-1005 } accept", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [443, {"range": [1000, 1005]}, 8443]}}}, {"accept": null}]"#),
        JSONRow("inet", "meta l4proto { tcp, udp } th dport 53", #"[{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 53}}]"#),
        JSONRow("inet", "meta l4proto 47 accept", #"[{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "gre"}}, {"accept": null}]"#),
        JSONRow("ip", "icmp type echo-request limit rate 4/second burst 5 packets", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}, {"limit": {"rate": 4, "burst": 5, "per": "second"}}]"#),
        JSONRow("inet", "meta length 64-128", #"[{"match": {"op": "==", "left": {"meta": {"key": "length"}}, "right": {"range": [64, 128]}}}]"#),
        JSONRow("inet", "meta protocol ip6", #"[{"match": {"op": "==", "left": {"meta": {"key": "protocol"}}, "right": "ip6"}}]"#),
        JSONRow("inet", "meta protocol { ip, arp }", #"[{"match": {"op": "==", "left": {"meta": {"key": "protocol"}}, "right": {"set": ["ip", "arp"]}}}]"#),
        JSONRow("inet", #"oifname != "ppp*" drop"#, #"[{"match": {"op": "!=", "left": {"meta": {"key": "oifname"}}, "right": "ppp*"}}, {"drop": null}]"#),
        JSONRow("inet", "nftrace set 1", #"[{"mangle": {"key": {"meta": {"key": "nftrace"}}, "value": 1}}]"#),
        JSONRow("inet", "cpu { 0, 2-3 }", #"[{"match": {"op": "==", "left": {"meta": {"key": "cpu"}}, "right": {"set": [0, {"range": [2, 3]}]}}}]"#),
        JSONRow("inet", "ct state established,related accept", #"[{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]"#),
        JSONRow("inet", "ct state { new, untracked }", #"[{"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": ["new", "untracked"]}}}]"#),
        JSONRow("inet", "ct state != invalid", #"[{"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": "invalid"}}]"#),
        JSONRow("inet", "ct state vmap { invalid : drop, established : accept, related : accept }", #"[{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", {"drop": null}], ["established", {"accept": null}], ["related", {"accept": null}]]}}}]"#),
        JSONRow("inet", "ct expiration 10m-1h", #"[{"match": {"op": "==", "left": {"ct": {"key": "expiration"}}, "right": {"range": [600, 3600]}}}]"#),
        JSONRow("inet", "ct original zone 3 ct reply zone 4", #"[{"match": {"op": "==", "left": {"ct": {"key": "zone", "dir": "original"}}, "right": 3}}, {"match": {"op": "==", "left": {"ct": {"key": "zone", "dir": "reply"}}, "right": 4}}]"#),
        JSONRow("inet", "ct original packets 10-20", #"[{"match": {"op": "==", "left": {"ct": {"key": "packets", "dir": "original"}}, "right": {"range": [10, 20]}}}]"#),
        JSONRow("inet", "ct reply ip6 daddr 2001:db8::/64", #"[{"match": {"op": "==", "left": {"ct": {"key": "ip6 daddr", "dir": "reply"}}, "right": {"prefix": {"addr": "2001:db8::", "len": 64}}}}]"#),
        JSONRow("inet", "ct mark set 0x11", #"[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": 17}}]"#),
        JSONRow("inet", "ct mark set meta mark", #"[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}}]"#),
        JSONRow("inet", "ct original zone set 9", #"[{"mangle": {"key": {"ct": {"key": "zone", "dir": "original"}}, "value": 9}}]"#),
        JSONRow("inet", "notrack", #"[{"notrack": null}]"#),
        JSONRow("inet", "fib saddr . iif oif missing drop", #"[{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}, {"drop": null}]"#),
        JSONRow("inet", "fib daddr type local accept", #"[{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}, {"accept": null}]"#),
        JSONRow("inet", "fib daddr type { broadcast, multicast, anycast } drop", #"[{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": {"set": ["broadcast", "anycast", "multicast"]}}}, {"drop": null}]"#),
        JSONRow("inet", "fib daddr . iif type != local", #"[{"match": {"op": "!=", "left": {"fib": {"result": "type", "flags": ["daddr", "iif"]}}, "right": "local"}}]"#),
        JSONRow("inet", "rt mtu > 1400", #"[{"match": {"op": ">", "left": {"rt": {"key": "mtu"}}, "right": 1400}}]"#),
        JSONRow("inet", "rt ip nexthop 192.0.2.1", #"[{"match": {"op": "==", "left": {"rt": {"key": "nexthop", "family": "ip"}}, "right": "192.0.2.1"}}]"#),
        JSONRow("inet", "socket transparent 1 accept", #"[{"match": {"op": "==", "left": {"socket": {"key": "transparent"}}, "right": 1}}, {"accept": null}]"#),
        JSONRow("inet", "socket wildcard 0", #"[{"match": {"op": "==", "left": {"socket": {"key": "wildcard"}}, "right": 0}}]"#),
        JSONRow("inet", #"osf name "Linux""#, #"[{"match": {"op": "==", "left": {"osf": {"key": "name"}}, "right": "Linux"}}]"#),
        JSONRow("inet", #"osf ttl skip version "Linux:3.x""#, #"[{"match": {"op": "==", "left": {"osf": {"ttl": "skip", "key": "version"}}, "right": "Linux:3.x"}}]"#),
        JSONRow("inet", "ipsec in reqid 5", #"[{"match": {"op": "==", "left": {"ipsec": {"key": "reqid", "dir": "in", "spnum": 0}}, "right": 5}}]"#),
        JSONRow("inet", "ipsec in ip saddr 192.0.2.1", #"[{"match": {"op": "==", "left": {"ipsec": {"key": "saddr", "family": "ip", "dir": "in", "spnum": 0}}, "right": "192.0.2.1"}}]"#),
        JSONRow("inet", "numgen inc mod 4 2", #"[{"match": {"op": "==", "left": {"numgen": {"mode": "inc", "mod": 4, "offset": 0}}, "right": 2}}]"#),
        JSONRow("inet", "numgen inc mod 3 offset 10 vmap { 10 : accept, 11 : drop, 12 : continue }", #"[{"vmap": {"key": {"numgen": {"mode": "inc", "mod": 3, "offset": 10}}, "data": {"set": [[10, {"accept": null}], [11, {"drop": null}], [12, {"continue": null}]]}}}]"#),
        JSONRow("inet", "jhash ip saddr mod 8 3", #"[{"match": {"op": "==", "left": {"jhash": {"mod": 8, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}, "right": 3}}]"#),
        JSONRow("inet", "jhash ip saddr . tcp sport mod 16 seed 0xfeed offset 4 5", #"[{"match": {"op": "==", "left": {"jhash": {"mod": 16, "seed": 65261, "offset": 4, "expr": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "sport"}}]}}}, "right": 5}}]"#),
        JSONRow("inet", "symhash mod 2 1", #"[{"match": {"op": "==", "left": {"symhash": {"mod": 2}}, "right": 1}}]"#),
        JSONRow("inet", "meta mark set numgen random mod 16", #"[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"numgen": {"mode": "random", "mod": 16, "offset": 0}}}}]"#),
        JSONRow("inet", "meta mark set jhash ip saddr . ip daddr mod 7 seed 0x1", #"[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"jhash": {"mod": 7, "seed": 1, "expr": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "ip", "field": "daddr"}}]}}}}}]"#),
        JSONRow("inet", "ct mark set symhash mod 4 offset 8", #"[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"symhash": {"mod": 4, "offset": 8}}}}]"#),
        JSONRow("inet", "meta mark set numgen inc mod 2 map { 0 : 0x10, 1 : 0x20 }", #"[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}, "data": {"set": [[0, 16], [1, 32]]}}}}}]"#),
        JSONRow("ip6", "exthdr frag exists drop", #"[{"match": {"op": "==", "left": {"exthdr": {"name": "frag"}}, "right": true}}, {"drop": null}]"#),
        JSONRow("ip6", "exthdr rt missing", #"[{"match": {"op": "==", "left": {"exthdr": {"name": "rt"}}, "right": false}}]"#),
        JSONRow("ip6", "hbh nexthdr tcp", #"[{"match": {"op": "==", "left": {"exthdr": {"name": "hbh", "field": "nexthdr"}}, "right": "tcp"}}]"#),
        JSONRow("ip6", "rt type 0 drop", #"[{"match": {"op": "==", "left": {"exthdr": {"name": "rt", "field": "type"}}, "right": 0}}, {"drop": null}]"#),
        JSONRow("ip6", "frag id 100-200", #"[{"match": {"op": "==", "left": {"exthdr": {"name": "frag", "field": "id"}}, "right": {"range": [100, 200]}}}]"#),
        JSONRow("ip", "tcp option maxseg size < 536", #"[{"match": {"op": "<", "left": {"tcp option": {"name": "maxseg", "field": "size"}}, "right": 536}}]"#),
        JSONRow("ip", "tcp option maxseg size set 1360", #"[{"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1360}}]"#),
        JSONRow("ip", "tcp option maxseg size set rt mtu", #"[{"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]"#),
        JSONRow("ip", "tcp option timestamp exists", #"[{"match": {"op": "==", "left": {"tcp option": {"name": "timestamp"}}, "right": true}}]"#),
        JSONRow("ip", "tcp option timestamp tsval 1-9", #"[{"match": {"op": "==", "left": {"tcp option": {"name": "timestamp", "field": "tsval"}}, "right": {"range": [1, 9]}}}]"#),
        JSONRow("ip", "tcp option 253 exists", #"[{"match": {"op": "==", "left": {"tcp option": {"base": 253, "offset": 0, "len": 8}}, "right": true}}]"#),
        JSONRow("ip", "reset tcp option timestamp", #"[{"reset": {"tcp option": {"name": "timestamp"}}}]"#),
        JSONRow("ip", "ip option lsrr exists drop", #"[{"match": {"op": "==", "left": {"ip option": {"name": "lsrr"}}, "right": true}}, {"drop": null}]"#),
        JSONRow("ip", "ip option rr ptr 4", #"[{"match": {"op": "==", "left": {"ip option": {"name": "rr", "field": "ptr"}}, "right": 4}}]"#),
        JSONRow("inet", "sctp chunk init exists", #"[{"match": {"op": "==", "left": {"sctp chunk": {"name": "init"}}, "right": true}}]"#),
        JSONRow("inet", "sctp chunk data tsn > 5", #"[{"match": {"op": ">", "left": {"sctp chunk": {"name": "data", "field": "tsn"}}, "right": 5}}]"#),
        JSONRow("inet", "dccp option 5 exists", #"[{"match": {"op": "==", "left": {"dccp option": {"type": 5}}, "right": true}}]"#),
        JSONRow("inet", "@nh,64,8 6", #"[{"match": {"op": "==", "left": {"payload": {"base": "nh", "offset": 64, "len": 8}}, "right": 6}}]"#),
        JSONRow("inet", "@th,16,16 { 80, 443 }", #"[{"match": {"op": "==", "left": {"payload": {"base": "th", "offset": 16, "len": 16}}, "right": {"set": [80, 443]}}}]"#),
        JSONRow("inet", "@nh,64,8 . @th,16,16 { 0x6 . 0x50 }", #"[{"match": {"op": "==", "left": {"concat": [{"payload": {"base": "nh", "offset": 64, "len": 8}}, {"payload": {"base": "th", "offset": 16, "len": 16}}]}, "right": {"set": [{"concat": [6, 80]}]}}}]"#),
        JSONRow("inet", "@ih,32,32 set 0x1", #"[{"mangle": {"key": {"payload": {"base": "ih", "offset": 32, "len": 32}}, "value": 1}}]"#),
        JSONRow("inet", "counter", #"[{"counter": null}]"#),
        JSONRow("inet", "counter packets 5 bytes 600 accept", #"[{"counter": null}, {"accept": null}]"#),
        JSONRow("inet", "limit rate 10/second accept", #"[{"limit": {"rate": 10, "burst": 5, "per": "second"}}, {"accept": null}]"#),
        JSONRow("inet", "limit rate 10/minute burst 3 packets drop", #"[{"limit": {"rate": 10, "burst": 3, "per": "minute"}}, {"drop": null}]"#),
        JSONRow("inet", "limit rate over 4/hour burst 1 packets log", #"[{"limit": {"rate": 4, "burst": 1, "per": "hour", "inv": true}}, {"log": null}]"#),
        JSONRow("inet", "limit rate until 7/day", #"[{"limit": {"rate": 7, "burst": 5, "per": "day"}}]"#),
        JSONRow("inet", "limit rate 512 kbytes/second", #"[{"limit": {"rate": 512, "per": "second", "rate_unit": "kbytes", "burst": 0, "burst_unit": "bytes"}}]"#),
        JSONRow("inet", "limit rate over 1 mbytes/minute burst 64 kbytes", #"[{"limit": {"rate": 1, "per": "minute", "rate_unit": "mbytes", "burst": 64, "burst_unit": "kbytes", "inv": true}}]"#),
        JSONRow("inet", "quota 25 mbytes", #"[{"quota": {"val": 25, "val_unit": "mbytes"}}]"#),
        JSONRow("inet", "quota over 2048 bytes drop", #"[{"quota": {"val": 2, "val_unit": "kbytes", "inv": true}}, {"drop": null}]"#),
        JSONRow("inet", "quota over 10 kbytes used 512 bytes", #"[{"quota": {"val": 10, "val_unit": "kbytes", "inv": true}}]"#),
        JSONRow("inet", "ct count 20 accept", #"[{"ct count": {"val": 20}}, {"accept": null}]"#),
        JSONRow("inet", "ct count over 100 reject", #"[{"ct count": {"val": 100, "inv": true}}, {"reject": {"type": "icmpx", "expr": "port-unreachable"}}]"#),
        JSONRow("inet", "last", #"[{"last": null}]"#),
        JSONRow("inet", "log", #"[{"log": null}]"#),
        JSONRow("inet", #"log prefix "in: ""#, #"[{"log": {"prefix": "in: "}}]"#),
        JSONRow("inet", #"log prefix "in: " level debug"#, #"[{"log": {"prefix": "in: ", "level": "debug"}}]"#),
        JSONRow("inet", "log level emerg flags all", #"[{"log": {"level": "emerg", "flags": ["all"]}}]"#),
        JSONRow("inet", "log flags tcp sequence,options", #"[{"log": {"flags": ["tcp sequence", "tcp options"]}}]"#),
        JSONRow("inet", #"log group 3 snaplen 128 queue-threshold 4 prefix "nf""#, #"[{"log": {"prefix": "nf", "group": 3, "snaplen": 128, "queue-threshold": 4}}]"#),
        JSONRow("inet", "log level audit", #"[{"log": {"level": "audit"}}]"#),
        JSONRow("inet", #"log prefix "a" accept"#, #"[{"log": {"prefix": "a"}}, {"accept": null}]"#),
        JSONRow("ip", "snat to 192.0.2.1", #"[{"snat": {"addr": "192.0.2.1"}}]"#),
        JSONRow("ip", "snat to 192.0.2.1-192.0.2.9 random", #"[{"snat": {"addr": {"range": ["192.0.2.1", "192.0.2.9"]}, "flags": ["random"]}}]"#),
        JSONRow("ip", "tcp dport 80 snat to 192.0.2.1:1024-2048 fully-random,persistent", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"snat": {"addr": "192.0.2.1", "port": {"range": [1024, 2048]}, "flags": ["fully-random", "persistent"]}}]"#),
        JSONRow("ip", "udp dport 53 dnat to 192.0.2.5:5353", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"dnat": {"addr": "192.0.2.5", "port": 5353}}]"#),
        JSONRow("ip", "tcp dport 80 dnat to :8080", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"dnat": {"port": 8080}}]"#),
        JSONRow("ip", "dnat to tcp dport map { 80 : 192.0.2.1, 443 : 192.0.2.2 }", #"[{"dnat": {"addr": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[80, "192.0.2.1"], [443, "192.0.2.2"]]}}}}}]"#),
        JSONRow("ip", "dnat to numgen inc mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }", #"[{"dnat": {"addr": {"map": {"key": {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}, "data": {"set": [[0, "192.0.2.1"], [1, "192.0.2.2"]]}}}}}]"#),
        JSONRow("ip", "dnat to jhash ip saddr mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }", #"[{"dnat": {"addr": {"map": {"key": {"jhash": {"mod": 2, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}, "data": {"set": [[0, "192.0.2.1"], [1, "192.0.2.2"]]}}}}}]"#),
        JSONRow("inet", "dnat ip to 192.0.2.5", #"[{"dnat": {"family": "ip", "addr": "192.0.2.5"}}]"#),
        JSONRow("inet", "tcp dport 443 dnat ip6 to [2001:db8::5]:8443", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 443}}, {"dnat": {"family": "ip6", "addr": "2001:db8::5", "port": 8443}}]"#),
        JSONRow("inet", "ip daddr 198.51.100.7 dnat to 192.0.2.5", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "198.51.100.7"}}, {"dnat": {"family": "ip", "addr": "192.0.2.5"}}]"#),
        JSONRow("ip6", "snat to 2001:db8::1-2001:db8::4", #"[{"snat": {"addr": {"range": ["2001:db8::1", "2001:db8::4"]}}}]"#),
        JSONRow("ip", "masquerade", #"[{"masquerade": null}]"#),
        JSONRow("ip", "masquerade random,persistent", #"[{"masquerade": {"flags": ["random", "persistent"]}}]"#),
        JSONRow("ip", "tcp sport 1-1000 masquerade to :1024-65535 fully-random", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": {"range": [1, 1000]}}}, {"masquerade": {"port": {"range": [1024, 65535]}, "flags": ["fully-random"]}}]"#),
        JSONRow("ip", "redirect", #"[{"redirect": null}]"#),
        JSONRow("ip", "tcp dport 80 redirect to :3128", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"redirect": {"port": 3128}}]"#),
        JSONRow("ip", "udp dport 53 redirect to :5300-5310 random", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"redirect": {"port": {"range": [5300, 5310]}, "flags": ["random"]}}]"#),
        JSONRow("ip", "tcp dport 80 redirect to :tcp dport map { 80 : 8080 }", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"redirect": {"port": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[80, 8080]]}}}}}]"#),
        JSONRow("ip", "reject", #"[{"reject": {"type": "icmp", "expr": "port-unreachable"}}]"#),
        JSONRow("ip", "reject with tcp reset", #"[{"reject": {"type": "tcp reset"}}]"#),
        JSONRow("inet", "queue", #"[{"queue": {"num": 0}}]"#),
        JSONRow("inet", "queue num 1-4 fanout", #"[{"queue": {"num": {"range": [1, 4]}, "flags": ["fanout"]}}]"#),
        JSONRow("inet", "queue flags bypass to numgen inc mod 8", #"[{"queue": {"num": {"numgen": {"mode": "inc", "mod": 8, "offset": 0}}, "flags": ["bypass"]}}]"#),
        JSONRow("inet", "queue to symhash mod 4 offset 10", #"[{"queue": {"num": {"symhash": {"mod": 4, "offset": 10}}}}]"#),
        JSONRow("ip", "dup to 192.0.2.1", #"[{"dup": {"addr": "192.0.2.1"}}]"#),
        JSONRow("ip", "dup to 192.0.2.1 device lo", #"[{"dup": {"addr": "192.0.2.1", "dev": "lo"}}]"#),
        JSONRow("netdev", "fwd to lo", #"[{"fwd": {"dev": "lo"}}]"#),
        JSONRow("netdev", "fwd ip to 192.0.2.1 device lo", #"[{"fwd": {"dev": "lo", "addr": "192.0.2.1", "family": "ip"}}]"#),
        JSONRow("ip", "tcp dport 80 tproxy to 127.0.0.1:8080", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"tproxy": {"addr": "127.0.0.1", "port": 8080}}]"#),
        JSONRow("ip", "tcp dport 80 tproxy to :8080", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"tproxy": {"port": 8080}}]"#),
        JSONRow("ip", "udp dport 53 tproxy to 127.0.0.1", #"[{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"tproxy": {"addr": "127.0.0.1"}}]"#),
        JSONRow("inet", "meta l4proto tcp tproxy ip6 to [::1]:8080", #"[{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, {"tproxy": {"family": "ip6", "addr": "::1", "port": 8080}}]"#),
        JSONRow("inet", "meta l4proto udp tproxy to :5353", #"[{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "udp"}}, {"tproxy": {"port": 5353}}]"#),
        JSONRow("ip", "synproxy mss 1460 wscale 7 timestamp sack-perm", #"[{"synproxy": {"mss": 1460, "wscale": 7, "flags": ["timestamp", "sack-perm"]}}]"#),
        JSONRow("ip", "synproxy", #"[{"synproxy": null}]"#),
        JSONRow("ip", "synproxy mss 1460", #"[{"synproxy": {"mss": 1460}}]"#),
        JSONRow("ip", "synproxy sack-perm", #"[{"synproxy": {"flags": ["sack-perm"]}}]"#),
        JSONRow("inet", "meta mark set tcp dport", #"[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"payload": {"protocol": "tcp", "field": "dport"}}}}]"#),
        JSONRow("inet", "meta mark set ip saddr map { 192.0.2.1 : 0x1, 192.0.2.2 : 0x2 }", #"[{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["192.0.2.1", 1], ["192.0.2.2", 2]]}}}}}]"#),
        JSONRow("inet", "ct mark set tcp dport map { 22 : 1, 80-90 : 2 }", #"[{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, 1], [{"range": [80, 90]}, 2]]}}}}}]"#),
        JSONRow("inet", "ip dscp set tcp dport map { 22 : cs4, 80 : af11 }", #"[{"mangle": {"key": {"payload": {"protocol": "ip", "field": "dscp"}}, "value": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, "cs4"], [80, "af11"]]}}}}}]"#),
        JSONRow("inet", "tcp dport vmap { 22 : accept, 23 : drop }", #"[{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"accept": null}], [23, {"drop": null}]]}}}]"#),
        JSONRow("inet", #"iifname vmap { "eth0" : accept, "wg*" : drop }"#, #"[{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["eth0", {"accept": null}], ["wg*", {"drop": null}]]}}}]"#),
        JSONRow("inet", "ct state . tcp dport { new . 22 }", #"[{"match": {"op": "==", "left": {"concat": [{"ct": {"key": "state"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["new", 22]}]}}}]"#),
    ]

    private func listed(_ value: RulesetValue) -> String { GrammarRow.rules(of: value).first ?? "" }

    @Test(arguments: rows) func isWritten(_ row: JSONRow) throws {
        var value = RulesetValue().applying(text: "add table \(row.family) t\nadd chain \(row.family) t c\nadd rule \(row.family) t c \(row.rule)\n").value
        let text = command(["-j", "-s", "list", "ruleset"], on: &value).output
        let whole = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let items = try #require(whole["nftables"] as? [[String: Any]])
        let rule = try #require(items.compactMap { $0["rule"] as? [String: Any] }.first)
        let wanted = try JSONSerialization.jsonObject(with: Data(row.json.utf8))
        #expect((rule["expr"] as? NSArray) == (wanted as? NSArray))
    }

    @Test(arguments: rows) func isRead(_ row: JSONRow) {
        let text = RulesetValue().applying(text: "add table \(row.family) t\nadd chain \(row.family) t c\nadd rule \(row.family) t c \(row.rule)\n").value
        let head = RulesetValue().applying(text: "add table \(row.family) t\nadd chain \(row.family) t c\n").value
        let command = #"{"nftables": [{"add": {"rule": {"family": ""# + row.family + #"", "table": "t", "chain": "c", "expr": "# + row.json + "}}}]}"
        let result = head.applying(json: Array(command.utf8), name: "j", options: LoadOptions()).result
        #expect(result.diagnostics.isEmpty)
        #expect(listed(result.value) == listed(text))
    }
}
