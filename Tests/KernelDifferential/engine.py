"""Needletail as the engine: the process packet-engine or worker-engine at the other end of two pipes."""
import re
import subprocess


class Needletail:
    def __init__(self, binary, caches=True, mutation="none"):
        self.binary, self.caches, self.mutation = binary, caches, mutation
        self.name = "Needletail with the cache %s" % ("on" if caches else "off")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1 << 16)

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = []
        while True:
            got = self.process.stdout.readline()
            if not got:
                self.process.wait()
                self.start()
                raise RuntimeError("%s died" % self.binary)
            if got == ".\n":
                return answer
            answer.append(got.rstrip("\n"))

    def load(self, text, seed=1):
        return "\n".join(self.ask("ruleset %d %s %d %s" % (self.caches, self.mutation, seed, text.encode().hex())))

    def send(self, data, port, advance, ports=None):
        """`ports`: the source and the destination port that NAT is to choose where it may choose."""
        out = []
        for line in self.ask("frame %d %d %s%s" % (port, advance, data.hex(), " %d %d" % ports if ports else "")):
            words = line.split(" ")
            if words[0] == "out":
                out.append((int(words[1]), bytes.fromhex(words[2])))
            else:
                self.disposition = line
        return out

    def change(self, text):
        """Changes what packets are routed by (Engine/Session.swift)."""
        return "\n".join(self.ask("change " + text)).strip()

    def nft(self, text):
        return "\n".join(self.ask("nft " + text.encode().hex())).strip()

    def listing(self):
        return "\n".join(self.ask("list"))

    def connections(self, whole=False):
        return sorted(line for line in self.ask("connections whole" if whole else "connections") if line)

    def expectations(self):
        return sorted(line for line in self.ask("expectations") if line)

    def hits(self):
        return tuple(int(word) for word in self.ask("hits")[0].split())
