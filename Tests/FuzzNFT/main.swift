// A grammar-aware fuzzer of the nft language: lexer, parser, checker, printer and JSON reader.
//
//     needletail-fuzz-nft [--seconds N] [--seed S] [--first N] [--count N] [--limit MS]
//
// Inputs are drawn from a grammar, damaged, and loaded on an empty ruleset or on what an earlier input left; their JSON
// listings are damaged and loaded as well. Exit code 0: all well. 1: an input crashed, hung, took memory without bound or broke a
// property; it is printed, and `--seed S --first N --count 1` repeats it.
import Foundation
import Ruleset

func option(_ name: String) -> Int? {
    let words = CommandLine.arguments
    guard let place = words.firstIndex(of: name), place + 1 < words.count else { return nil }
    return Int(words[place + 1])
}

struct Run {
    let seed = UInt64(option("--seed") ?? 1)
    let seconds = option("--seconds") ?? 20
    let first = option("--first") ?? 0
    let count = option("--count") ?? Int.max
    /// Most that the resident memory may grow once the run has settled, bytes.
    static let growth = 256 << 20

    /// One input from its number alone, so that it can be repeated.
    func input(_ number: Int, _ verdicts: inout Verdicts) throws(Failure) {
        var random = Randomness(seed: seed, number: UInt64(number))
        var base = RulesetValue()
        if random.chance(30) { base = Properties.load(Grammar.draw("file", &random)).value }
        var bytes = Array(Grammar.draw(random.chance(15) ? "commands" : "file", &random).utf8)
        let isJSON = random.chance(25)
        if isJSON {
            let listing = Properties.jsonListing(Properties.load(String(decoding: bytes, as: UTF8.self)).value)
            bytes = Array(listing.utf8)
        }
        if random.chance(isJSON ? 80 : 55) {
            let other = Array(Grammar.draw("file", &random).utf8)
            var mutator = Mutator(random: random)
            bytes = mutator.mutate(bytes, other: other, isJSON: isJSON)
            random = mutator.random
        }
        Guard.begin(bytes, number: number)
        defer { Guard.end() }
        _ = try Properties.check(bytes, on: base, &random, &verdicts)
    }

    /// - Returns: the exit code.
    func go() -> Int32 {
        var verdicts = Verdicts()
        let start = Date()
        var number = first, settled = 0, failures = 0
        while number < first + min(count, Int.max - first), Date().timeIntervalSince(start) < Double(seconds) {
            do throws(Failure) {
                try input(number, &verdicts)
            } catch {
                failures += 1
                let place = "\(error.what) (--seed \(seed) --first \(number) --count 1)"
                // The first few whole, the others by name: a long run goes on to its end.
                if failures <= 5 { Guard.show("\(place)\n\(error.details)\n---") } else { print(place) }
            }
            number += 1
            if (number - first) % 256 == 0 {
                let resident = Guard.residentBytes
                // Caches of the allocator and of the language fill first.
                if number - first == 4096 { settled = resident }
                if settled > 0, resident - settled > Self.growth {
                    print("memory grew by \((resident - settled) >> 20) MiB")
                    return 1
                }
            }
        }
        let growth = settled > 0 ? "\((Guard.residentBytes - settled) >> 10) KiB" : "not measured"
        let elapsed = Date().timeIntervalSince(start)
        print("""
            seed \(seed): \(number - first) inputs in \(Int(elapsed)) s, \(verdicts.accepted) accepted, \(verdicts.refused) refused; \(verdicts.texts) listings and \(verdicts.json) JSON listings loaded to themselves
            memory growth \(growth), resident \(Guard.residentBytes >> 20) MiB
            \(failures == 0 ? "no crash, no hang, no memory growth, no property broken" : "\(failures) inputs broke a property")
            """)
        return failures == 0 ? 0 : 1
    }
}

Guard.start(limit: option("--limit") ?? 10_000)
// 2 MiB of stack: a quarter of what the command has, so that recursion without a limit is found.
let worker = Thread {
    Guard.useSignalStack()
    exit(Run().go())
}
worker.stackSize = 2 << 20
worker.start()
while true { sleep(1000) }
