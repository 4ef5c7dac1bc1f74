"""Needletail as the engine: the process packet-engine or worker-engine at the other end of two pipes."""
import re
import subprocess

from frames import is_noise
from neighbours import Hosts
from tags import PLAIN, Tags


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

    def load(self, text, seed=1, links=PLAIN):
        self.tags, self.hosts = Tags(links), Hosts("learned" in links)
        return "\n".join(self.ask("ruleset %d %s %d %s %s" % (self.caches, self.mutation, seed, links, text.encode().hex())))

    def send(self, data, port, advance, ports=None):
        """`ports`: the source and the destination port that NAT is to choose where it may choose."""
        out, answers = [], []
        port, data = self.tags.put_on(port, data)
        for line in self.ask("frame %d %d %s%s" % (port, advance, data.hex(), " %d %d" % ports if ports else "")):
            words = line.split(" ")
            if words[0] == "out":
                out.append(self.tags.take_off(int(words[1]), bytes.fromhex(words[2])))
                answers.append((out[-1][0], self.hosts.answer(*out[-1])))
            else:
                self.disposition = line
        for link, answer in answers:
            if answer:
                disposition = self.disposition
                out += self.send(answer, link, 0)
                self.disposition = disposition
        return out

    def change(self, text):
        """Changes what packets are routed by (Engine/Session.swift); or a host's MAC address, which the host says itself."""
        if text.startswith("host "):
            _, link, host, mac, overrides = text.split()
            sent = self.send(self.hosts.move(int(link), host, bytes.fromhex(mac), overrides == "1"), int(link), 0)
            return " ".join(sorted("%d %s" % (port, data.hex()) for port, data in sent if not is_noise(data)))
        return "\n".join(self.ask("change " + text)).strip()

    def nft(self, text, held=0, quiet=False):
        """`held`: so many frames pass between the copy of the state that the commands are run against and their coming into force, and
        `quiet`: with the cache only, since these commands change nothing for any frame."""
        if quiet and not self.caches:
            held = 0
        return "\n".join(self.ask("nft %d %s" % (held, text.encode().hex()))).strip()

    def listing(self):
        return "\n".join(self.ask("list"))

    def connections(self, whole=False):
        return sorted(line for line in self.ask("connections whole" if whole else "connections") if line)

    def expectations(self):
        return sorted(line for line in self.ask("expectations") if line)

    def hits(self):
        return tuple(int(word) for word in self.ask("hits")[0].split())
