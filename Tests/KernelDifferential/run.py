#!/usr/bin/env python3
"""Random rulesets and dialogues through two engines in lock-step; a difference is shrunk and printed.

    run.py kernel    ENGINE [--rulesets N] [--seconds S] [--seed X]     Linux against Needletail (root)
    run.py invisible ENGINE --workers WORKERS [...]                     real workers with the flow cache against the slow path alone
    run.py planted   ENGINE --workers WORKERS                           that planted faults of the cache are seen

The seeds X, X + 1, ... go to several processes (--jobs), each with engines, and for Linux a network namespace, of its own: most of
the time goes by in waiting for time that rules tell.

ENGINE is the executable packet-engine, WORKERS worker-engine; without it the flow cache's functions stand for workers. Exit code 0: no difference; 1: a difference; 125: cannot be run here."""
import argparse
import copy
import multiprocessing
import os
import random
import re
import sys
import time

import frames as f
import helpers
from changes import KEEPER, apply, change, commands, told
from comparison import alike, said, unordered
from dialogues import Dialogues, Speaker
from engine import Needletail
from linux import Linux, Unavailable, state
from rulesets import Rulesets
from tags import choose


class Case:
    def __init__(self, seed, often=False):
        r = random.Random(seed)
        self.seed = seed
        self.tables = Rulesets(r, cached=r.choice([0, 1, 1, 2, 2, 2, 2, 2]) if often else 0).generate()
        helped = not often and r.random() < 0.25
        if helped:
            if r.random() < 0.6:
                # Few other rules, so that what helpers do is seen.
                self.tables = self.tables[:r.choice([0, 0, 1])] + [helpers.translation(Rulesets(r))]
            self.tables.insert(r.randint(0, len(self.tables)), helpers.table(Rulesets(r)))
        self.talks, self.steps = Dialogues(r).generate(often, helped)
        if often:
            self.steps = change(self.steps, self.tables, r)
            self.links = choose(r, self.text)
        else:
            if r.random() < 0.35:
                self.steps = commands(self.steps, self.tables, r)
                self.tables = self.tables + [copy.deepcopy(KEEPER)]
            self.pass_time(r)

    def pass_time(self, r):
        """Time that both engines wait: Linux forgets a dropped connection in `ct count` only with the next jiffy; and some jumps where
        rules tell the seconds."""
        if "ct count" in self.text:
            for step in self.steps:
                if "do" in step:
                    step["wait"] = 10
        if re.search(r"@brief|/second|(unreplied|syn_sent): 1,[^$]*timeout set", self.text) and r.random() < 0.4:
            for _ in range(r.choice([1, 2])):
                r.choice(self.steps)["wait"] = r.choice([600, 1300, 2600])

    def with_(self, **changes):
        case = copy.copy(self)
        case.__dict__.update(changes)
        return case

    @property
    def text(self):
        return Rulesets.text(self.tables)


# Both engines refuse the ruleset: nothing was compared.
REFUSED = ("refused by both", "")
# Differed, but not again, or never at a time that is known well enough: the machine was too busy to tell.
UNSTEADY = ("unsteady", "")
# How inexactly (ns) the time of a frame may be known that a difference counts.
CLOCK_ERROR = 2_000_000


def prepared(data, exact, known=()):
    return data if exact else f.mask(data, known)


def mended(case, engine):
    """The case without the lines of its ruleset that the engine refuses: what random choices put together is not always a rule."""
    for _ in range(12):
        refused = {int(number) for number in re.findall(r"stdin:(\d+):", engine.load(case.text))}
        if not refused:
            break
        tables, number = copy.deepcopy(case.tables), 0
        for _, blocks in tables:
            number += 1
            for block in blocks:
                number += 1
                kept = []
                for line in block[1]:
                    number += 1
                    if number not in refused:
                        kept.append(line)
                block[1] = kept
                number += 1
            number += 1
        if tables == case.tables:
            break
        case = case.with_(tables=tables)
    return case


def play(case, engines, exact=False):
    """None if the engines agree, else what differs. `exact`: every byte and every field, by the same clock."""
    links = (case.links,) if exact else ()
    answers = [engine.load(case.text, case.seed & 0xFFFF, *links) for engine in engines]
    refused = [bool(answer.strip()) for answer in answers]
    if refused[-1] and not refused[0]:
        return ("refused", "%s: %s" % (engines[-1].name, answers[-1].strip()))
    if any(refused):
        return REFUSED
    speakers, trace = [Speaker(case.talks) for _ in engines], []
    for number, step in enumerate(case.steps):
        if "do" not in step:
            answers = [apply(engine, step, case.tables) for engine in engines]
            if answers[0] != answers[1] if exact else said(answers[0]) != said(answers[1]):
                return ("answers", "step %d: %s\n  %s" % (number, step, "\n  ".join(answers)))
            continue
        outs, ins, moments, chosen = [], [], [], []
        for engine, speaker in zip(engines, speakers):
            out, sent, named = [], speaker.frames(step), None
            for place, (port, data) in enumerate(sent):
                wait = step.get("wait", 1) * 1_000_000 if place == 0 else 1000
                if place < len(moments):
                    # Linux went first: by its clock, and with the ports that it chose.
                    out += engine.send(data, port, moments[place], chosen[place])
                else:
                    came = engine.send(data, port, wait)
                    # What later fragments complete has its ports in the first one.
                    named = data if named is None or f.ends(data) else named
                    chosen.append(not exact and engine.chosen(named) or f.ports(named, came))
                    out += came
            if hasattr(engine, "moments"):
                moments = [after - before for before, after in zip(engine.moments, engine.moments[1:])]
                engine.moments = engine.moments[-1:]
            elif moments and len(outs[0]) < len(out):
                outs[0] += [(port, data) for port, data in engines[0].late() if not f.is_noise(data)]
            out = [(port, data) for port, data in out if not f.is_noise(data)]
            # A copy and its original may come in either order.
            speaker.arrived(step["talk"], sorted(out, key=lambda frame: (frame[0], prepared(frame[1], exact))))
            ins.append(sent)
            outs.append(out)
        known = {f.identification(data) for _, data in ins[0]}
        shown = [sorted((port, prepared(data, exact, known)) for port, data in out) for out in outs]
        lines = []
        for engine, sent, out in zip(engines, ins, shown):
            lines.append("  %s" % engine.name)
            lines += ["    in  r%d %s" % (port, data.hex()) for port, data in sent]
            lines += ["    out r%d %s" % (port, data.hex()) for port, data in out]
            lines.append("    " + getattr(engine, "disposition", ""))
        trace += lines
        if shown[0] != shown[1]:
            told = "step %d: %s of conversation %d %s" % (number, step["do"], step["talk"], case.talks[step["talk"]])
            return ("frames", "\n".join([told] + lines))
    order = unordered if any(step.get("held") and "quiet" in step for step in case.steps) else str
    for what, values in (("listing", [order(e.listing()) if exact else state(e.listing()) for e in engines]),
                         ("connections", ["\n".join(e.connections(True) if exact else e.connections()) for e in engines]), ("expectations", ["\n".join(e.expectations()) for e in engines])):
        if values[0] != values[1] and (what == "listing" and exact or not alike(*values)):
            left, right = values[0].splitlines(), values[1].splitlines()
            lines = ["%s" % what] + ["  %s: %s" % (engines[0].name, line.strip()) for line in left if line not in right]
            lines += ["  %s: %s" % (engines[1].name, line.strip()) for line in right if line not in left]
            # What little is left of a dialogue tells more than its steps' names.
            lines += [line[:300] for line in trace] if len(case.steps) < 5 else []
            return (what, "\n".join(lines))
    return None


def shrink(case, engines, exact, difference, seconds=40):
    """The smallest case with a difference of the same kind: steps, then rules, tables and blocks are taken away."""
    end = time.monotonic() + seconds
    best, found = case, difference

    def attempt(changed):
        nonlocal best, found
        if time.monotonic() > end:
            return False
        got = play(changed, engines, exact)
        if got and got[0] == difference[0]:
            best, found = changed, got
            return True
        return False

    size = max(1, len(best.steps) // 2)
    while size:
        at = 0
        while at < len(best.steps):
            if not attempt(best.with_(steps=best.steps[:at] + best.steps[at + size:])):
                at += size
        size //= 2
    shrunk = True
    while shrunk and time.monotonic() < end:
        shrunk = False
        for t in reversed(range(len(best.tables))):
            if attempt(best.with_(tables=best.tables[:t] + best.tables[t + 1:])):
                shrunk = True
                continue
            for b in reversed(range(len(best.tables[t][1]))):
                tables = copy.deepcopy(best.tables)
                del tables[t][1][b]
                if attempt(best.with_(tables=tables)):
                    shrunk = True
                    continue
                for line in reversed(range(1, len(best.tables[t][1][b][1]))):
                    tables = copy.deepcopy(best.tables)
                    del tables[t][1][b][1][line]
                    shrunk |= attempt(best.with_(tables=tables))
    # Words of rules: what is then no rule is refused by both.
    for t, table in enumerate(best.tables):
        for b, block in enumerate(table[1]):
            for line in range(1, len(block[1])):
                for size in (6, 4, 3, 2, 1):
                    at = 0
                    while at < len(best.tables[t][1][b][1][line].split()):
                        tables = copy.deepcopy(best.tables)
                        words = tables[t][1][b][1][line].split()
                        del words[at:at + size]
                        tables[t][1][b][1][line] = " ".join(words)
                        at += not (words and attempt(best.with_(tables=tables)))
    return best, found


def report(case, found):
    print("\n== seed %d differs: %s\n%s%s" % (case.seed, found[0], case.text, found[1]))
    if hasattr(case, "links"):
        print("  r0, r1: %s" % case.links)
    print("  steps: " + "; ".join(told(step) for step in case.steps))
    sys.stdout.flush()


def judge(case, engines, exact):
    """What differs, again where the clock may have made the difference: something else ran between its reading and the packet. With Linux a
    difference counts if it comes three times running: what its timers do between two packets is not in the seed."""
    seen = 0
    for _ in range(12):
        found = play(case, engines, exact)
        if not found or found is REFUSED:
            return UNSTEADY if seen else found
        if getattr(engines[0], "stall", 0) < CLOCK_ERROR:
            seen += 1
            if exact or seen == 3:
                return found
    return UNSTEADY


def work(make, options, exact, shared, results, number):
    """Process `number` of a campaign: plays the next seed as long as there are some."""
    try:
        # Between the clock's reading and the packet nobody else is to run.
        os.nice(-10)
    except PermissionError:
        pass
    try:
        engines = make()
    except Unavailable as why:
        return results.put(("unavailable", str(why)))
    end = shared["start"] + options.seconds
    while time.monotonic() < end and not shared["stop"].value:
        with shared["lock"]:
            if shared["done"].value >= options.rulesets:
                break
            shared["done"].value += 1
            seed = shared["seed"].value
            shared["seed"].value += 1
            shared["playing"][number] = seed
        case = mended(Case(seed, often=exact), engines[0])
        found = judge(case, engines, exact)
        if found is REFUSED:
            with shared["lock"]:
                shared["done"].value -= 1
            results.put(("refused", seed))
            continue
        if found is UNSTEADY:
            results.put(("unsteady", seed))
            continue
        if found and not options.whole:
            case, found = shrink(case, engines, exact, found)
        results.put(("played", seed, case if found else None, found, engines[-1].hits() if exact else (0, 0, 0)))
    results.put(("ended",))


def campaign(make, options, exact):
    """Plays the seeds; a summary."""
    context = multiprocessing.get_context("fork")
    shared = dict(start=time.monotonic(), lock=context.Lock(), stop=context.Value("i", 0), done=context.Value("q", 0), seed=context.Value("q", options.seed))
    results = context.SimpleQueue()
    shared["playing"] = context.Array("q", options.jobs)

    def start(number):
        worker = context.Process(target=work, args=(make, options, exact, shared, results, number), daemon=True)
        worker.start()
        return worker

    workers = [start(number) for number in range(options.jobs)]
    seeds, bad, refused, unsteady, sums, left = [], 0, 0, [], [0, 0, 0], len(workers)
    while left:
        while results.empty():
            for number, worker in enumerate(workers):
                if not worker.exitcode:
                    continue
                print("seed %d ended its process: exit code %d" % (shared["playing"][number], worker.exitcode))
                # libnftables 1.0.6 runs in the process, and has its faults; an engine that dies is an exception.
                if worker.exitcode < 0 and not exact:
                    unsteady.append(shared["playing"][number])
                else:
                    bad += 1
                workers[number] = start(number)
            time.sleep(0.01)
        kind, *rest = results.get()
        if kind == "unavailable":
            raise Unavailable(rest[0])
        left -= kind == "ended"
        refused += kind == "refused"
        unsteady += rest if kind == "unsteady" else []
        if kind == "played":
            seed, case, found, hits = rest
            seeds.append(seed)
            sums = [a + b for a, b in zip(sums, hits)]
            if found:
                bad += 1
                report(case, found)
                if bad >= options.stop:
                    shared["stop"].value = 1
    for worker in workers:
        worker.join()
    if refused:
        print("%d further rulesets were refused by both" % refused)
    if unsteady:
        print("seeds %s: not counted, since their difference did not come again, or they ended their process" % " ".join(str(s) for s in sorted(unsteady)))
    print("seeds %s" % " ".join(str(s) for s in sorted(seeds)))
    if len(unsteady) > max(2, len(seeds) // 50):
        print("too many of them: this machine is too busy to compare, or the engine is not the same twice")
        bad += 1
    return len(seeds), bad, sums


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["kernel", "invisible", "planted"])
    parser.add_argument("engine")
    parser.add_argument("--workers", help="the executable worker-engine")
    parser.add_argument("--rulesets", type=int, default=100000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--stop", type=int, default=1, help="end after so many differences")
    parser.add_argument("--whole", action="store_true", help="do not shrink")
    parser.add_argument("--jobs", type=int, default=None, help="processes: 8 for Linux, which mostly waits, else 1")
    options = parser.parse_args()
    for program in (options.engine, options.workers):
        if program and not os.access(program, os.X_OK):
            parser.error("there is no program %s: swift build -c release --product %s" % (program, os.path.basename(program)))
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 1 << 31)
    options.jobs = options.jobs or (8 if options.what == "kernel" else 1)
    if options.what == "kernel":
        try:
            done, bad, _ = campaign(lambda: [Linux(), Needletail(options.engine)], options, False)
        except Unavailable as why:
            print("skipped: %s" % why)
            return 125
        print("%d rulesets against Linux, %d with a difference" % (done, bad))
        return 1 if bad else 0
    if options.what == "invisible":
        done, bad, (hits, frames, plain) = campaign(lambda: [Needletail(options.engine, caches=False), Needletail(options.workers or options.engine)], options, True)
        share = 100 * hits / max(1, frames)
        print("%d rulesets with the cache on and off, %d with a difference; %d of %d frames (%.0f %%) by the cache, %d of them with checksums that a NIC verified" % (
            done, bad, hits, frames, share, plain))
        if share < 20 or plain < hits // 10:
            print("too few frames met the cache: this proves nothing")
            return 1
        return 1 if bad else 0
    failures = 0
    for mutation in ("wrong-guard", "missing-credit"):
        engines = [Needletail(options.engine, caches=False), Needletail(options.workers or options.engine, mutation=mutation)]
        for number in range(200):
            found = play(mended(Case(options.seed + number, often=True), engines[0]), engines, True)
            if found and found is not REFUSED:
                print("planted %s: seen with ruleset %d of seed %d" % (mutation, number + 1, options.seed))
                break
        else:
            print("planted %s: not seen" % mutation)
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
