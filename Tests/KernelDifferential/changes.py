"""What changes in the middle of a dialogue: the ruleset, one rule, one element, a route, a neighbour, an address, a port's MTU; and time that passes.

Each is a step of plain data, so that it can be shrunk: {"nft": commands}, {"rule": [table, chain, number, text]} for one of the rules that a
chain has by then, {"change": words} for what packets are routed by, {"remake": table} for a table that one transaction takes away and makes again.
With "held" a change of the ruleset is in force so many frames after it was made: a running router compiles it aside. With "quiet" it changes nothing
for any frame: the engine with the slow path alone has it in force at once, so that what frames did in between must be neither lost nor there twice."""
import re

from rulesets import Rulesets

HOSTS = {4: ["10.0.1.2", "10.0.1.3", "10.0.2.2", "10.0.2.3", "192.0.2.7"], 6: ["fd00:1::2", "fd00:1::3", "fd00:2::2", "fd00:2::3", "2001:db8::7"]}
RULES = ["counter", "udp dport 53 counter drop", "tcp dport 80 counter accept", "counter accept", "ct state established counter", "ct mark set 9 counter", "meta mark set 3",
         "tcp flags psh counter", "meta length > 100 counter drop", "ct state established ct direction reply counter drop", "ct mark 9 counter drop"]


def change(steps, tables, r):
    for step in steps:
        step["wait"] = r.choice([1] * 120 + [2000, 2000, 31000, 130000])
    for _ in range(r.choice([0, 0, 1, 2, 3, 5])):
        made = r.choice([later, element, element, one_rule, one_rule, route, neighbour, moved, moved, address, mtu, flush, reset, dynamic, quiet, quiet])(tables, r)
        for step in made:
            if "change" not in step:
                step["held"] = r.choice([0, 1, 3, 10, 30])
        at = sorted(r.randint(0, len(steps)) for _ in made)
        for place, step in reversed(list(zip(at, made))):
            steps.insert(place, step)
    return steps


# Linux lets go of connection tracking some time after the last rule that asks for it is gone: this one stays.
KEEPER = ["inet keep", [["chain k", ["type filter hook forward priority 300; policy accept;", "ct state new"]]]]


def commands(steps, tables, r):
    """Commands of nft in the middle of a dialogue, for Linux and Needletail alike."""
    kinds = [later, element, element, one_rule, one_rule, one_rule, flush, reset, dynamic, dynamic, batch, batch, chain, chain]
    for _ in range(r.choice([1, 2, 3, 5])):
        made = [step for step in r.choice(kinds)(tables, r) if step.get("nft") != "flush ruleset\n"]
        at = sorted(r.randint(0, len(steps)) for _ in made)
        for place, step in reversed(list(zip(at, made))):
            steps.insert(place, step)
    return steps


def chain(tables, r):
    """Base chains that come later than others of their priority, change their policy, or sleep for a while."""
    header, blocks = r.choice(tables)
    base = [(head.split()[1], lines[0]) for head, lines in blocks if head.split()[0] == "chain" and lines and lines[0].startswith("type filter")]
    kind = r.random()
    if header.split()[0] not in ("ip", "ip6", "inet") or not base:
        return []
    if kind < 0.4:
        text = ["add table %s { flags dormant; }\n" % header, "add table %s\n" % header]
        return [dict(nft=line) for line in text]
    name, first = r.choice(base)
    if kind < 0.6:
        return [dict(nft="add chain %s %s { policy %s; }\n" % (header, name, policy)) for policy in ("drop", "accept")[:r.choice([1, 2, 2])]]
    new = "new%d" % r.randint(0, 99)
    return [dict(nft="add chain %s %s { %s }\nadd rule %s %s %s\n" % (header, new, first, header, new, r.choice(["counter", "counter meta mark set 5", "meta mark 0 counter drop", "meta mark set meta mark | 8 counter"])))]


def flush(tables, r):
    header, blocks = r.choice(tables)
    heads = [head for head, lines in blocks if head.split()[0] in ("set", "map", "chain") and not any("meter " in line for line in lines)]
    return [dict(nft="flush %s %s %s\n" % (head.split()[0], header, head.split()[1])) for head in [r.choice(heads)]] if heads else []


def batch(tables, r):
    """Several commands in one transaction; what it takes away and makes again is new."""
    kind = r.random()
    header, blocks = r.choice(tables)
    if any("meter " in line for _, lines in blocks for line in lines):
        return []
    if kind < 0.2:
        return [dict(remake=header)]
    if kind < 0.4:
        # A set's elements, or the ones that are there, anew.
        sets = [(head.split()[0], head.split()[1], line) for head, lines in blocks if head.split()[0] in ("set", "map") for line in lines if line.startswith("elements")]
        if not sets:
            return []
        how, name, line = r.choice(sets)
        elements = "element %s %s %s\n" % (header, name, line.split("=", 1)[1].strip().rstrip(";"))
        return [dict(nft=r.choice(["flush %s %s %s\n" % (how, header, name), "add " + elements + "flush %s %s %s\n" % (how, header, name), ""]) + "add " + elements)]
    parts = [step["nft"] for _ in range(r.choice([2, 3, 4])) for step in r.choice([later, element, element, flush, dynamic, dynamic])(tables, r)]
    # What went and came back, Linux's intervals do not let go again at once (docs/nft.md).
    gone = [part for part in parts if part.startswith("delete element")]
    if len(gone) > len(set(gone)) or any("flush ruleset" in part for part in parts):
        return []
    return [dict(nft="".join(parts))] if parts else []


def reset(tables, r):
    header, blocks = r.choice(tables)
    if not any(head.startswith("counter cnt") for head, _ in blocks):
        return []
    return [dict(nft=r.choice(["reset counter %s cnt\n" % header, "reset quota %s quo\n" % header, "reset counters table %s\n" % header]))]


def dynamic(tables, r):
    """Elements of the sets that rules fill, given and taken by command; not of those whose elements have statements (docs/nft.md)."""
    header, blocks = r.choice(tables)
    sets = {head.split()[1]: lines for head, lines in blocks if head.split()[0] in ("set", "map")}
    if "seen" not in sets:
        return []
    hosts = HOSTS[6 if "ipv6_addr" in sets["seen"][0] else 4]
    host, other = r.choice(hosts), r.choice(hosts)
    time = r.choice(["", " timeout 1s", " timeout 10m"])
    name, key, rest = r.choice([("seen", host, ""), ("timed", "%s . %d" % (host, r.choice([80, 53, 443])), time), ("pairtime", "%s . %s" % (host, other), time),
                                ("dmap", host, time + " : 0x%x" % r.randint(1, 9))])
    # nft 1.0.6 adds what is there and changes nothing; both do.
    return [dict(nft="%s element %s %s { %s }\n" % (how, header, name, key + rest if how == "add" else key)) for how in r.sample(["add", "delete", "add"], r.choice([1, 2]))]


def quiet(tables, r):
    """Commands that change nothing for any frame: what comes of a rule's, an object's and an element's state shows when they came into force."""
    header, blocks = r.choice(tables)
    texts = ["add table inet other", "add table inet quiet\nadd chain inet quiet q\nadd rule inet quiet q counter drop"]
    chains = [head.split()[1] for head, lines in blocks if head.split()[0] == "chain" and lines and not any("meter " in line for line in lines)]
    if chains:
        texts += ["add rule %s %s meta mark set meta mark" % (header, r.choice(chains))] * 3
    if any(head.startswith("counter cnt") for head, _ in blocks):
        texts += ["reset counter %s cnt" % header, "reset counters table %s" % header]
    plain = [(head.split()[1], line) for head, lines in blocks if head in ("set hosts", "set pairs", "map marks") for line in lines if line.startswith("elements")]
    if plain:
        name, line = r.choice(plain)
        present = line[line.index("{") + 1:line.index("}")].split(",")[0].strip()
        texts += ["delete element %s %s { %s }\nadd element %s %s { %s }" % (header, name, present.split(" : ")[0], header, name, present)] * 2
    return [dict(nft=r.choice(texts) + "\n", quiet=True) for _ in range(r.choice([1, 1, 2]))]


def later(tables, r):
    table = "inet later%d" % r.randint(0, 1)
    text = r.choice(["add table %s; add chain %s f { type filter hook forward priority %d; }; add rule %s f %s" % (table, table, r.choice([-5, 5]), table, r.choice(RULES + ["ip dscp cs1 counter drop"])),
                     "flush ruleset" if r.random() < 0.1 else "add table inet other"])
    return [dict(nft=text.replace("; add", "\nadd") + "\n")]


def element(tables, r):
    """An element comes and goes, or goes and comes."""
    header, blocks = r.choice(tables)
    sets = {head.split()[1]: lines for head, lines in blocks if head.split()[0] in ("set", "map")}
    names = [name for name in ("hosts", "nets", "ports", "pairs", "spans", "counted", "marks") if name in sets]
    if not names:
        return []
    name = r.choice(names)
    hosts = HOSTS[6 if "ipv6_addr" in sets.get("hosts", [""])[0] else 4]
    made = dict(hosts=r.choice(hosts), nets=r.choice(hosts[:4]), ports=r.choice(["22", "53", "80", "443", "8080", "1000-2000", "40000-40010"]), counted=r.choice(hosts),
                pairs="%s . %d" % (r.choice(hosts), r.choice([22, 53, 80, 443, 8080])), spans="%s . %s" % (r.choice(hosts), r.choice(["53", "80", "22-80"])), marks="%d : 0x%x" % (r.choice([22, 53, 80, 443]), r.randint(1, 9)))[name]
    present = [part for line in sets[name] if line.startswith("elements") for part in re.findall(r"[^{},]+", line.split("=")[1])]
    present = [part.strip() for part in present if part.strip()]
    commands = ["add element %s %s { %s }\n" % (header, name, made), "delete element %s %s { %s }\n" % (header, name, made)]
    if present and r.random() < 0.5:
        gone = r.choice(present)
        commands = ["delete element %s %s { %s }\n" % (header, name, gone.split(" : ")[0]), "add element %s %s { %s }\n" % (header, name, gone)]
    return [dict(nft=text) for text in commands[:r.choice([1, 2, 2])]]


def one_rule(tables, r):
    header, blocks = r.choice(tables)
    # The set of a meter goes with its rule in nft 1.0.6, and stays in newer ones.
    chains = [head.split()[1] for head, lines in blocks if head.split()[0] == "chain" and len(lines) > 1 and not any("meter " in line for line in lines)]
    if header.split()[0] not in ("ip", "ip6", "inet") or not chains:
        return []
    chain = r.choice(chains)
    steps = [dict(rule=[header, chain, r.randint(0, 30), r.choice(["delete", "delete", "insert", "add", "replace"]), r.choice(RULES)]) for _ in range(r.choice([1, 1, 2]))]
    return steps


def route(tables, r):
    six = r.random() < 0.4
    target = r.choice(["2001:db8::/32", "fd00:2::2", "fd00:1::2"] if six else ["192.0.2.0/24", "10.0.2.2", "10.0.1.2", "0.0.0.0/0"])
    port = r.randint(0, 1)
    gateway = "fd00:%d::3" % (port + 1) if six else "10.0.%d.3" % (port + 1)
    steps = [dict(change="route %d %s,%s" % (port, target, gateway)), dict(change="no-route %d %s" % (port, target))]
    return steps[:r.choice([1, 2, 2])]


def neighbour(tables, r):
    port = r.randint(0, 1)
    host = r.choice(["10.0.%d.2", "10.0.%d.3", "fd00:%d::2", "fd00:%d::3"]) % (port + 1)
    return [dict(change="neighbour %d %s,02:00:00:00:0%s:%02x" % (port, host, "ab"[port], r.choice([0x52, 0x53]))) for _ in range(r.choice([1, 2]))]


def moved(tables, r):
    """A host says by itself that its MAC address is another one; nobody knows it where neighbours are permanent."""
    link = r.randint(0, 1)
    host = r.choice(["10.0.%d.2", "10.0.%d.3", "fd00:%d::2", "fd00:%d::3"]) % (link + 1)
    return [dict(change="host %d %s 020000000%s%02x %d" % (link, host, "ab"[link], r.choice([0x62, 0x63, 2]), r.random() < 0.7)) for _ in range(r.choice([1, 2]))]


def address(tables, r):
    port = r.randint(0, 1)
    host = r.choice(["10.0.%d.9/24", "10.0.%d.2/32", "fd00:%d::9/64", "fd00:%d::2/128"]) % (r.choice([1, 2]))
    own = r.choice(["10.0.%d.1/24", "fd00:%d::1/64"]) % (port + 1)
    if r.random() < 0.25:
        return [dict(change="no-address %d %s" % (port, own)), dict(change="address %d %s" % (port, own))]
    return [dict(change="address %d %s" % (port, host)), dict(change="no-address %d %s" % (port, host))][:r.choice([1, 2, 2])]


def mtu(tables, r):
    port = r.randint(0, 1)
    return [dict(change="mtu %d %d" % (port, r.choice([1280, 1300, 600, 100]))), dict(change="mtu %d 1500" % port)][:r.choice([1, 2, 2])]


def apply(engine, step, tables):
    """Makes a change; what the engine says to it. `tables`: the ruleset as it was loaded."""
    if "remake" in step:
        return engine.nft("delete table %s\n%s" % (step["remake"], Rulesets.text([table for table in tables if table[0] == step["remake"]])))
    if "change" in step:
        return engine.change(step["change"])
    how = dict(held=step["held"], quiet="quiet" in step) if step.get("held") else {}
    if "nft" in step:
        return engine.nft(step["nft"], **how)
    table, chain, number, verb, text = step["rule"]
    if verb in ("insert", "add"):
        return engine.nft("%s rule %s %s %s\n" % (verb, table, chain, text), **how)
    listing = re.search(r"^table %s \{.*?^\}" % re.escape(table), engine.listing(), re.M | re.S)
    block = re.search(r"^\tchain %s \{.*?^\t\}" % re.escape(chain), listing.group(0) if listing else "", re.M | re.S)
    handles = re.findall(r"^\t\t.*# handle (\d+)$", block.group(0) if block else "", re.M)
    if not handles:
        return ""
    return engine.nft("%s rule %s %s handle %s %s\n" % (verb, table, chain, handles[number % len(handles)], text if verb == "replace" else ""), **how)


def told(step):
    """A step in few words."""
    if "do" in step:
        return "%d %s" % (step["talk"], step["do"])
    words = str(step.get("nft") or step.get("change") or step.get("remake") or step["rule"]).strip()
    return words + " (%s after %d frames)" % ("quiet" if "quiet" in step else "held", step["held"]) if step.get("held") else words
