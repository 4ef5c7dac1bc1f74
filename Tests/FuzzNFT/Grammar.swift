// The grammar that inputs are drawn from: productions of nft's language, as the fuzzer's own table.
//
// A production is text in which `<name>` stands for one of that name's productions. Names of tables, chains, sets and objects
// are few and mostly declared, so that most of what is drawn is accepted and the listing is tested as much as the messages.

struct Grammar {
    static let productions: [String: [String]] = [
        "file": ["<table>", "<table>", "<table><table>", "<table><commands>", "<defines><table>", "<commands>", "flush ruleset\n<table>", "<table><commands><commands>"],
        "defines": ["define a = <ip4>\ndefine p = { <port>, <port> }\n", "define i = \"eth0\"\nredefine i = eth1\n", "define a = 10.0.0.0/8\nundefine a\n", "define n = <number>\n"],
        "table": [
            "table inet t {\n<declared>chain a { <rule>; }\nchain b { <rule>; <rule>; }\n<chainsbase>}\n", "table inet t {\n<declared>chain a { }\nchain b {\n<rule>\n<rule>\n<rule>\n}\n}\n", "table ip t {\n<declared>chain a { }\nchain b {\n<rule>\n<rule>\n}\n<chainsbase>}\n",
            "table inet t {\n<declared>chain a { }\nchain b { <rule>; }\n}\n", "table <family> t {\n<tableflags><objects><sets><chainsplain><chainsbase>}\n", "table inet t {\n<objects><sets><chainsplain><chainsbase>}\n",
            "table ip t {\n<sets><chainsplain><chainsbase>}\n", "table ip6 t {\n<chainsplain><chainsbase>}\n", "table netdev t {\n<sets><chainsplain>}\n",
            "table bridge t {\n<sets><chainsplain>chain b { type filter hook <hook> priority <priority>; <rules> }\n}\n", "table arp t {\nchain b { type filter hook input priority 0; <rules> }\n}\n",
        ],
        "declared": [
            "counter c1 { }\nquota q1 { over 25 mbytes }\nlimit l1 { rate 5/second }\nct helper h1 { type \"ftp\" protocol tcp; }\nct timeout ct1 { protocol tcp; policy = { established : 100 }; }\nct expectation ce1 { protocol udp; dport 9876; timeout 2m; size 12; }\nsynproxy s1 { mss 1460; wscale 7; timestamp sack-perm; }\nsecmark m1 { \"system_u:object_r:ssh_t:s0\" }\nflowtable f { hook ingress priority 0; devices = { eth0 }; }\nset s4 { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }\nset s6 { type ipv6_addr; }\nset sp { type inet_service; elements = { 22, 80 } }\nset d4 { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 100; }\nset cc { type ipv4_addr . inet_service; }\nmap m4 { type ipv4_addr : ipv4_addr; }\nmap mm { type inet_service : mark; }\nmap mn { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\nmap mo { type ipv4_addr : counter; elements = { 10.0.0.1 : \"c1\" } }\nmap mv { type inet_service : verdict; elements = { 22 : accept } }\n",
        ],
        "tableflags": ["", "", "", "flags dormant\n", "comment \"<word>\"\n"],
        "family": ["ip", "ip6", "inet", "inet", "inet", "bridge", "arp", "netdev"],
        "objects": ["", "<object>", "<object><object>", "<object><object><object>"],
        "object": [
            "counter c1 { }\n", "counter c1 { packets <number> bytes <number> }\n", "quota q1 { over 25 mbytes }\n", "quota q1 { <number> kbytes used <number> bytes }\n", "limit l1 { rate 5/second }\n",
            "limit l1 { rate over 10 mbytes/second burst 2 kbytes }\n", "ct helper h1 { type \"ftp\" protocol tcp; }\n", "ct timeout ct1 { protocol tcp; policy = { established : 100, close : 4 } }\n",
            "ct expectation ce1 { protocol udp; dport <port>; timeout 2m; size 12; l3proto ip; }\n", "synproxy s1 { mss 1460; wscale 7; timestamp sack-perm; }\n", "secmark m1 { \"system_u:object_r:ssh_t:s0\" }\n",
            "flowtable f { hook ingress priority <priority>; devices = { eth0, eth1 }; }\n", "counter c1 { comment \"<word>\" }\n",
        ],
        "sets": ["", "<set>", "<set><set>", "<set><set><set>"],
        "set": [
            "set s4 { type ipv4_addr; <setflags4>elements = { <ip4>, <ip4>, <ip4> } }\n", "set s4 { type ipv4_addr; flags interval; elements = { <net4>, <range4> } }\n",
            "set s4 { type ipv4_addr; flags interval; auto-merge; elements = { <net4>, <range4>, <ip4>, <net4> } }\n", "set s6 { type ipv6_addr; elements = { <ip6>, <ip6> } }\n",
            "set s6 { type ipv6_addr; flags interval; elements = { <ip6>/64 } }\n", "set sp { type inet_service; elements = { <port>, <port> } }\n", "set sp { type inet_service; flags interval; elements = { <port>-<port>, <port> } }\n",
            "set d4 { type ipv4_addr; flags dynamic,timeout; timeout <time>; size <number>; }\n", "set d4 { typeof ip saddr; flags dynamic; counter }\n", "set cc { type ipv4_addr . inet_service; elements = { <ip4> . <port>, <ip4> . <port> } }\n",
            "set cc { type ipv4_addr . inet_service; flags interval; elements = { <net4> . <port>-<port>, <ip4> . <port> } }\n", "set cc { typeof ip saddr . tcp dport; elements = { <ip4> . <service> } }\n",
            "set st { type ipv4_addr; counter; elements = { <ip4> counter packets <number> bytes <number>, <ip4> comment \"<word>\" } }\n", "set ti { type ipv4_addr; flags timeout; elements = { <ip4> timeout <time>, <ip4> timeout <time> expires <time> } }\n",
            "map m4 { type ipv4_addr : ipv4_addr; elements = { <ip4> : <ip4>, <ip4> : <ip4> } }\n", "map mm { type inet_service : mark; elements = { <port> : <mark>, <port> : <mark> } }\n",
            "map mv { type inet_service : verdict; elements = { <port> : <plainverdict>, <port> : <plainverdict> } }\n", "map mv { type inet_service : verdict; flags interval; elements = { <port>-<port> : accept, * : drop } }\n",
            "map mn { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { <ip4> . <port> : <ip4> . <port> } }\n", "map mi { type ifname : verdict; elements = { <ifname> : accept, \"lo\" : drop } }\n",
            "map mo { type ipv4_addr : counter; elements = { <ip4> : \"c1\" } }\n", "map mr { typeof ip saddr : ip daddr; flags interval; elements = { <net4> : <ip4> } }\n", "set fl { type tcp_flag; elements = { <tcpflag>, <tcpflag> } }\n",
            "set ps { type ct_state . mark; elements = { <ctstate> . <mark> } }\n", "set ma { type ether_addr; elements = { <mac>, <mac> } }\n", "set sd { typeof meta iifname . ip saddr . vlan id; elements = { <ifname> . <ip4> . <number> } }\n",
            "set se { type ipv4_addr; policy memory; gc-interval <time>; comment \"<word>\"; flags timeout; }\n", "set sc { type ipv4_addr; flags constant; elements = { <ip4> } }\n",
        ],
        "setflags4": ["", "", "flags timeout; timeout <time>; ", "flags constant; ", "size <number>; ", "comment \"<word>\"; "],
        "chainsplain": ["chain a {\n<rules>}\nchain b {\n<rules>}\n", "chain a {\n<rules>}\n", "chain a {\ncomment \"<word>\"\n<rules>}\n", "chain a { }\nchain b {\n<rules>}\n"],
        "chainsbase": [
            "", "chain base {\ntype filter hook <hook> priority <priority>; policy <policy>;\n<baserules>}\n", "chain base {\ntype filter hook forward priority <priority>;\n<baserules>}\n",
            "chain nat {\ntype nat hook postrouting priority srcnat;\n<natrules>}\n", "chain nat {\ntype nat hook prerouting priority dstnat;\n<dnatrules>}\n", "chain r {\ntype route hook output priority <priority>;\n<rules>}\n",
        ],
        "hook": ["prerouting", "input", "forward", "output", "postrouting"],
        "priority": ["0", "filter", "filter + 10", "mangle", "raw", "-5", "security - 3", "dstnat", "srcnat", "<number>"],
        "policy": ["accept", "drop"],
        "rules": ["", "<rule>\n", "<rule>\n<rule>\n", "<rule>\n<rule>\n<rule>\n", "<rule>; <rule>\n"],
        "baserules": ["<rules>", "<rules>jump a\n", "<rules>tcp dport vmap { <port> : jump a, <port> : drop }\n", "<rules>tcp dport vmap @mv\n"],
        "natrules": ["masquerade\n", "oifname <ifname> masquerade random\n", "ip saddr <net4> snat to <ip4>\n", "ip saddr <net4> snat to <range4>:<port>-<port> persistent\n", "snat ip to ip saddr map { <ip4> : <ip4>, <ip4> : <ip4> }\n", "snat ip to ip saddr map @m4\n"],
        "dnatrules": [
            "tcp dport <port> dnat to <ip4>:<port>\n", "tcp dport <port> redirect to :<port>\n", "dnat ip to numgen inc mod 2 map { 0 : <ip4>, 1 : <ip4> }\n", "dnat ip to tcp dport map { <port> : <ip4> . <port> }\n",
            "dnat ip6 to [<ip6>]:<port>\n", "ip daddr <ip4> dnat ip prefix to ip daddr map { <net4> : 10.0.0.0/24 }\n", "dnat ip addr . port to ip saddr . tcp dport map @mn\n",
        ],
        "rule": [
            "<matches> <statements>", "<matches> <statements>", "<matches> <statements> comment \"<word>\"", "<statements>", "<matches>", "<match> vmap { <vmapbody> }", "tcp dport vmap @mv", "ct state vmap { established : accept, related : accept, invalid : drop }",
            "meta l4proto { tcp, udp } th dport <portset> <statements>", "ip saddr . tcp dport { <ip4> . <port>, <ip4> . <port> } accept", "ip saddr . tcp dport @cc accept", "ip saddr @s4 accept", "ip saddr != @s4 drop", "ip6 saddr @s6 drop",
            "iifname . ip saddr . tcp dport vmap { <ifname> . <ip4> . <port> : accept }", "jump { <rule>; <rule>; }", "goto { <rule>; }", "meta mark set ip saddr map { <ip4> : <mark>, <ip4> : <mark> }", "meta mark set tcp dport map @mm",
        ],
        "vmapbody": ["<port> : <plainverdict>, <port> : <plainverdict>", "<port>-<port> : accept, <port> : drop", "<number> : accept, * : drop"],
        "matches": ["<match>", "<match>", "<match> <match>", "<match> <match> <match>"],
        "op": ["", "", "", "!= ", "== ", "< ", ">= "],
        "match": [
            "ip saddr <op><ip4rhs>", "ip daddr <op><ip4rhs>", "ip6 saddr <op><ip6rhs>", "ip6 daddr <op><ip6>", "tcp dport <op><portset>", "udp sport <op><portset>", "th dport <op><port>", "sctp dport <port>", "dccp sport <port>", "udplite dport <port>",
            "ip protocol <proto>", "ip ttl <op><byte>", "ip dscp <op><dscp>", "ip ecn <ecn>", "ip length <op><number>", "ip id <number>", "ip frag-off & 0x1fff != 0", "ip version 4", "ip hdrlength <op>5", "ip checksum <number>", "ip6 hoplimit <op><byte>",
            "ip6 nexthdr <proto>", "ip6 flowlabel <number>", "ip6 dscp <dscp>", "tcp flags <tcpflags>", "tcp flags & (<tcpflag>|<tcpflag>) == <tcpflag>", "tcp flags { <tcpflag>, <tcpflag>|<tcpflag> }", "tcp flags <tcpflag> / <tcpflag>,<tcpflag>", "tcp window <op><number>",
            "tcp sequence <number>", "tcp option maxseg size <op><number>", "tcp option sack-perm exists", "tcp option window missing", "tcp option @255,8,8 <byte>", "tcp urgptr <number>", "tcp doff <op>5", "icmp type <icmptype>", "icmp code <byte>", "icmp id <number>",
            "icmp mtu <number>", "icmp gateway <ip4>", "icmpv6 type <icmp6type>", "icmpv6 code <byte>", "icmpv6 mtu <number>", "ct state <ctstates>", "ct state <op><ctstate>", "ct state { <ctstate>, <ctstate> }", "ct status <ctstatus>", "ct mark <op><mark>",
            "ct mark & <mark> == <mark>", "ct direction <dir>", "ct original ip saddr <ip4>", "ct reply proto-dst <port>", "ct bytes <op><number>", "ct original packets <op><number>", "ct zone <number>", "ct l3proto ipv4", "ct protocol tcp", "ct expiration <op><time>",
            "ct helper \"ftp\"", "ct label <number>", "ct count <op><number>", "ct avgpkt > <number>", "ct id <number>", "ct event set new", "meta mark <op><mark>", "meta mark & <mark> <mark>", "meta l4proto <op><proto>", "meta nfproto <nfproto>", "meta protocol <ethertype>",
            "meta length <op><number>", "meta pkttype <pkttype>", "meta iifname <op><ifname>", "meta oifname <op><ifset>", "iifname <op><ifname>", "oifname <ifset>", "iif \"lo\"", "oifkind \"vlan\"", "iiftype ether", "iifgroup <number>", "meta cpu <op><number>",
            "meta skuid <op><number>", "meta skgid { <number>, <number> }", "meta cgroup <number>", "meta priority <number>", "meta rtclassid <number>", "meta random <= <number>", "meta time <op>\"2026-01-02 03:04:05\"", "meta day { \"Monday\", \"Sunday\" }", "meta hour \"08:00\"-\"17:00\"",
            "meta ibrname \"br0\"", "meta secpath exists", "meta sdif 3", "meta broute set 1", "fib daddr type <fibtype>", "fib saddr . iif oif <op>0", "fib saddr . mark . iif oif missing", "fib daddr . iif type { local, unicast }", "fib saddr oifname <ifname>", "rt ip nexthop <ip4>",
            "rt classid <number>", "rt mtu <op><number>", "rt ipsec exists", "socket transparent 1", "socket mark <mark>", "socket wildcard 0", "socket cgroupv2 level 1 \"user.slice\"", "osf name \"Linux\"", "osf ttl skip version \"Linux:3.0\"", "ipsec in reqid <number>", "ipsec out ip saddr <ip4>",
            "ether saddr <mac>", "ether type <ethertype>", "ether daddr { <mac>, <mac> }", "vlan id <op><number>", "vlan pcp <byte>", "vlan type ip", "arp operation <arpop>", "arp saddr ip <ip4>", "arp htype <number>", "ah spi <op><number>", "esp spi { <number>, <number> }", "comp cpi <number>",
            "gre version 0", "gre ip saddr <ip4>", "vxlan vni <number>", "vxlan ip saddr <net4>", "geneve vni <number>", "gretap ether type ip", "igmp type membership-query", "igmp mrt <byte>", "frag more-fragments 1", "frag frag-off <op><number>", "exthdr hbh exists", "exthdr frag missing", "hbh nexthdr <proto>",
            "rt type <byte>", "rt0 addr[1] <ip6>", "srh tag <number>", "srh sid[1] <ip6>", "mh type binding-update", "mh nexthdr <byte>", "dst hdrlength <byte>", "ip option lsrr exists", "ip option rr ptr <byte>", "sctp chunk data exists", "sctp chunk init num-inbound-streams <number>", "dccp type <dccptype>",
            "dccp option 40 exists", "@th,<byte>,16 <number>", "@nh,<byte>,<byte> <number>", "@ll,0,48 <number>", "@ih,32,32 <number>", "numgen inc mod <number> <op><number>", "numgen random mod 10 offset 5 < 7", "jhash ip saddr . tcp dport mod <number> seed 0xdeadbeef <op>3", "symhash mod 2 <number>",
            "ip saddr & 255.255.255.0 == 10.1.2.0", "ip daddr and <ip4> != <ip4>", "tcp dport & 0xff00 == <number>", "meta mark or <mark> == <mark>", "ct mark xor <mark> == <mark>", "ip saddr . ip daddr { <ip4> . <net4>, <range4> . <ip4> }", "ip6 saddr . tcp dport { <ip6> . <port>-<port> }",
            "meta iifname . meta oifname { <ifname> . <ifname> }", "iifname . oifname . ip daddr . tcp dport { <ifname> . <ifname> . <ip4> . <port> }", "ip saddr $a", "tcp dport $p", "iifname $i",
        ],
        "statements": ["<verdict>", "<statement>", "<statement> <verdict>", "<statement> <statement> <verdict>", "counter <verdict>"],
        "plainverdict": ["accept", "drop", "continue", "return", "jump a", "goto a"],
        "verdict": ["accept", "drop", "continue", "return", "jump a", "goto a", "accept", "drop"],
        "statement": [
            "counter", "counter packets <number> bytes <number>", "counter name c1", "counter name \"c1\"", "counter name ip saddr map @mo", "quota name q1", "quota over <number> mbytes", "quota <number> bytes used <number> bytes", "limit rate <number>/<unit>", "limit rate over <number>/<unit> burst <number> packets",
            "limit rate <number> <bytes>/<unit>", "limit rate <number> <bytes>/second burst <number> <bytes>", "limit name l1", "log", "log prefix \"<word> \"", "log prefix \"<word>\" level <level>", "log group <number> snaplen 128 queue-threshold 3", "log flags all", "log flags tcp sequence,options flags ip options",
            "log level audit", "reject", "reject with icmp <icmpreject>", "reject with icmpx admin-prohibited", "reject with tcp reset", "reject with icmpv6 no-route", "meta mark set <mark>", "meta mark set meta mark and <mark> or <mark>", "meta mark set ct mark", "meta priority set <number>", "meta nftrace set 1",
            "meta pkttype set host", "meta mark set numgen inc mod 8 offset 3", "meta mark set jhash ip saddr mod 16", "meta secmark set \"m1\"", "ct mark set <mark>", "ct mark set meta mark", "ct mark set ct mark | <mark>", "ct zone set <number>", "ct original zone set <number>", "ct helper set \"h1\"",
            "ct timeout set \"ct1\"", "ct expectation set \"ce1\"", "ct event set new,destroy", "ct label set <number>", "ct secmark set meta secmark", "ct count <number>", "ct count over <number>", "ip dscp set <dscp>", "ip ttl set <byte>", "ip daddr set <ip4>", "ip6 hoplimit set <byte>", "tcp dport set <port>",
            "tcp option maxseg size set <number>", "tcp option maxseg size set rt mtu", "reset tcp option sack-perm", "udp checksum set 0", "ip ecn set ce", "ether saddr set <mac>", "vlan id set <number>", "notrack", "flow add @f", "flow offload @f", "dup to <ip4>", "dup to <ip4> device \"eth0\"", "fwd to \"eth0\"",
            "fwd ip to <ip4> device \"eth1\"", "tproxy to :<port>", "tproxy ip to <ip4>:<port>", "queue", "queue num <number>", "queue flags bypass,fanout to 1-3", "queue to symhash mod 2 offset 1", "synproxy mss 1460 wscale 7 timestamp sack-perm", "synproxy name \"s1\"", "last", "last used <time>", "add @d4 { ip saddr }",
            "update @d4 { ip saddr timeout <time> }", "add @d4 { ip saddr limit rate <number>/<unit> burst <number> packets }", "update @d4 { ip saddr counter }", "delete @d4 { ip saddr }", "meter m { ip saddr limit rate 5/second }", "add @d4 { ip saddr ct count over <number> }", "update @m4 { ip saddr : ip daddr }",
            "masquerade", "snat to <ip4>", "dnat to <ip4>:<port>", "redirect", "xt match comment", "@nh,64,8 set <byte>", "meta broute set 1", "exthdr frag exists", "ip saddr set ip saddr map { <ip4> : <ip4> }",
        ],
        "unit": ["second", "minute", "hour", "day", "week"],
        "bytes": ["bytes", "kbytes", "mbytes"],
        "level": ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"],
        "icmpreject": ["host-unreachable", "port-unreachable", "net-prohibited", "admin-prohibited", "3"],
        "commands": ["<command>\n", "<command>\n<command>\n", "<command>\n<command>\n<command>\n", "<command>; <command>\n"],
        "command": [
            "add table <family> t", "create table inet u", "delete table <family> t", "destroy table ip none", "flush table <family> t", "add chain inet t <word>", "add chain inet t base2 { type filter hook <hook> priority <priority>; policy <policy>; }", "delete chain inet t a", "rename chain inet t a z", "flush chain inet t a",
            "add rule inet t a <rule>", "insert rule inet t a <rule>", "add rule inet t a index <small> <rule>", "insert rule inet t a position <small> <rule>", "replace rule inet t a handle <small> <rule>", "delete rule inet t a handle <small>", "delete rule inet t a index <small>", "add element inet t s4 { <ip4>, <ip4> }",
            "create element inet t s4 { <ip4> }", "delete element inet t s4 { <ip4> }", "get element inet t s4 { <ip4> }", "add element inet t s4 { <net4>, <range4> }", "add element inet t mv { <port> : <plainverdict> }", "add element inet t cc { <ip4> . <port> comment \"<word>\" }", "flush set inet t s4", "add <set>", "add set inet t <word> { type <type>; }",
            "add map inet t <word> { type <type> : <type>; }", "delete set inet t s4", "delete map inet t mv", "add counter inet t c1", "add quota inet t q9 { over <number> mbytes }", "delete counter inet t c1", "reset counters", "reset counter inet t c1", "reset rules", "reset quotas", "list ruleset", "list table inet t",
            "list chain inet t a", "list sets", "list set inet t s4", "list maps", "list counters", "list hooks", "list flowtables", "list ct helpers table inet t", "describe ip saddr", "describe ct state", "describe <type>", "list chains inet", "list tables", "add flowtable inet t f2 { hook ingress priority 0; devices = { eth0 }; flags offload; }",
            "delete flowtable inet t f", "add limit inet t l2 { rate <number>/<unit> }", "add ct helper inet t h2 { type \"tftp\" protocol udp; l3proto ip; }", "monitor", "flush ruleset <family>", "include \"/nonexistent/<word>\"", "include \"/nonexistent/*\"", "define x = <ip4>", "add rule inet t a ip saddr $x accept", "reset element inet t s4 { <ip4> }",
        ],
        "type": ["ipv4_addr", "ipv6_addr", "inet_service", "mark", "ether_addr", "ifname", "inet_proto", "ct_state", "tcp_flag", "icmp_type", "verdict", "ipv4_addr . inet_service", "ifname . ipv4_addr . inet_service", "iface_index", "dscp", "time", "ct_label", "uid", "boolean", "ether_type", "nosuch"],
        "ip4": ["10.0.0.<byte>", "192.168.<byte>.<byte>", "<byte>.<byte>.<byte>.<byte>", "127.0.0.1", "1.2.3.4", "255.255.255.255", "0.0.0.0"],
        "net4": ["10.0.0.0/8", "192.168.<byte>.0/24", "<ip4>/<prefix>", "172.16.0.0/12", "0.0.0.0/0", "10.<byte>.0.0/16"],
        "prefix": ["8", "16", "24", "31", "32", "0", "1", "33"],
        "range4": ["10.1.0.<byte>-10.2.0.<byte>", "1.1.1.1-1.1.1.9", "<ip4>-<ip4>"],
        "ip4rhs": ["<ip4>", "<net4>", "<range4>", "{ <ip4>, <ip4> }", "{ <net4>, <ip4> }", "@s4", "@d4", "{ <range4> }"],
        "ip6": ["2001:db8::<small>", "fe80::1", "::1", "::", "2001:db8:<small>::<small>", "::ffff:1.2.3.4", "ff02::1", "1:2:3:4:5:6:7:8"],
        "ip6rhs": ["<ip6>", "<ip6>/64", "{ <ip6>, <ip6> }", "@s6", "<ip6>-<ip6>", "::/0"],
        "mac": ["00:11:22:33:44:55", "aa:bb:cc:dd:ee:ff", "02:00:00:00:00:0<small>"],
        "byte": ["0", "1", "5", "64", "128", "200", "255", "2", "3", "10", "17", "99", "0x1f", "256"],
        "small": ["0", "1", "2", "3", "4", "5", "9"],
        "number": ["0", "1", "2", "5", "10", "100", "255", "3", "7", "12", "20", "1", "2", "4", "6", "8", "9", "30", "50", "60", "1000", "4095", "65535", "65536", "100000", "4294967295", "0x10", "18446744073709551615", "18446744073709551616", "1234567"],
        "port": ["22", "80", "443", "25", "110", "143", "993", "3306", "5432", "ssh", "http", "1", "65535", "<number>", "8080", "53"],
        "service": ["ssh", "http", "https", "domain"],
        "portset": ["<port>", "<port>-<port>", "{ <port>, <port> }", "{ <port>-<port>, <port> }", "@sp", "{ 22, 80, 443 }", "1024-65535"],
        "mark": ["0x1", "0xff", "<number>", "0x10000000", "0x0000ffff", "42"],
        "proto": ["tcp", "udp", "icmp", "ipv6-icmp", "{ tcp, udp }", "47", "sctp", "gre", "esp", "<byte>"],
        "dscp": ["cs1", "af11", "ef", "be", "0x3f", "46", "{ cs0, cs1 }"],
        "ecn": ["ce", "ect0", "not-ect", "3"],
        "tcpflag": ["syn", "ack", "fin", "rst", "psh", "urg", "ecn", "cwr"],
        "tcpflags": ["<tcpflag>", "syn,ack", "!= <tcpflag>", "== syn", "! syn,rst", "<number>"],
        "icmptype": ["echo-request", "echo-reply", "{ echo-request, destination-unreachable }", "<byte>", "!= redirect"],
        "icmp6type": ["nd-neighbor-solicit", "echo-request", "{ nd-router-advert, mld-listener-query }", "<byte>"],
        "ctstate": ["new", "established", "related", "invalid", "untracked"],
        "ctstates": ["established,related", "new", "<ctstate>,<ctstate>", "<ctstate> | <ctstate>", "! new", "0x8"],
        "ctstatus": ["dnat", "snat", "assured", "confirmed,seen-reply", "! expected"],
        "dir": ["original", "reply", "0"],
        "nfproto": ["ipv4", "ipv6"],
        "ethertype": ["ip", "ip6", "arp", "vlan", "0x88cc", "8021q", "<number>"],
        "pkttype": ["unicast", "broadcast", "multicast", "host", "other"],
        "ifname": ["\"eth0\"", "eth1", "\"wan*\"", "\"lo\"", "vlan.10", "\"a b\"", "ppp-0"],
        "ifset": ["<ifname>", "{ <ifname>, <ifname> }", "{ \"eth*\", lo }"],
        "fibtype": ["local", "unicast", "{ local, broadcast }", "prohibit"],
        "arpop": ["request", "reply", "1"],
        "dccptype": ["request", "{ request, response }", "reset"],
        "time": ["1s", "10m", "1h30m", "2d3h", "30", "<number>s", "0s"],
        "word": ["foo", "bar", "x", "a-b", "c_1", "A long name with blanks", "z.9", "tcp", "rule", "\\\\", "%s", "é"],
    ]

    /// Every word and mark of the productions: what mutations put in.
    static let tokens: [String] = {
        var found: Set<String> = []
        for text in productions.values.joined() {
            for word in text.split(whereSeparator: { " \n,;{}".contains($0) }) where !word.contains("<") { found.insert(String(word)) }
        }
        return (found + ["{", "}", "(", ")", "[", "]", ";", ",", "\n", "\"", "'", "#", "@", "$", "!", "=", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "&", "|", "^", "/", "-", "*", ".", ":", "::", "\\\n", "0x", "1e9", "-1"]).sorted()
    }()

    /// An input drawn from a production.
    static func draw(_ name: String, _ random: inout Randomness, room: Int = 6000) -> String {
        var output = ""
        // What is left to expand, last first; bounded, since productions may hold themselves.
        var pending: [Substring] = ["<\(name)>"]
        while let piece = pending.popLast() {
            guard let open = piece.firstIndex(of: "<") else {
                output += piece
                continue
            }
            let inside = piece[piece.index(after: open)...]
            guard let close = inside.firstIndex(of: ">"), let choices = productions[String(inside[..<close])] else {
                // A comparison or a shift.
                output += piece[...open]
                pending.append(inside)
                continue
            }
            output += piece[..<open]
            let rest = piece[piece.index(after: close)...]
            if !rest.isEmpty { pending.append(rest) }
            // Out of room: the first production, which is the shortest way out.
            pending.append(Substring(output.utf8.count > room || pending.count > 200 ? choices[0] : random.pick(choices)))
        }
        return output
    }
}
