"""One side of a comparison as its driver sees it: a process that runs cases on request."""
import subprocess
import sys
from pathlib import Path


class Missing(Exception):
    """A side lacks a case, or fails in it."""


class Worker:
    """One side: a process that runs cases on request."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer("its start")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer(line)

    def answer(self, line):
        while True:
            answer = self.process.stdout.readline()
            if not answer:
                sys.exit(f"{self.name} ended at `{line}`")
            word, _, rest = answer.strip().partition(" ")
            if word in ("ready", "missing", "ms", "answer", "ended"):
                return word, rest
            print(f"{self.name}: {answer}", end="", file=sys.stderr)

    def begin(self, case):
        """Raises Missing when this side has no such case."""
        arguments = " ".join(f"{key}={value}" for key, value in case.arguments.items())
        word, why = self.ask(f"begin {case.name} {arguments}")
        if word == "missing":
            raise Missing(why)

    def time(self, calls):
        """Milliseconds of each call; raises Missing when the case fails."""
        word, rest = self.ask(f"time {calls}")
        if word == "missing":
            raise Missing(rest)
        return [float(ms) for ms in rest.split()]

    def facts(self):
        """What the case says of itself: numbers by name."""
        return {key: float(value) for key, value in (pair.split("=") for pair in self.ask("ask")[1].split())}

    def end(self):
        self.ask("end")

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def status(self, key):
        """kB of a line of /proc/PID/status."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])

    def peak_of_one_call(self):
        """MB that one call adds to the resident memory at most, on top of its inputs."""
        self.ask("trim")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        before = self.status("VmRSS")
        self.time(1)
        return (self.status("VmHWM") - before) / 1024


def chosen_cases(parser, cases):
    """Reads the command line; returns it and the cases that it names, or prints their names and ends."""
    parser.add_argument("--gamut", required=True)
    parser.add_argument("--list", action="store_true", help="names the cases and ends")
    parser.add_argument("cases", nargs="*", help="names or their beginnings; default: all")
    arguments = parser.parse_args()
    named = {name: case for name, case in cases.items()
             if not arguments.cases or any(name.startswith(wanted) for wanted in arguments.cases)}
    if not named or arguments.list:
        for name, case in cases.items():
            print(f"{name:16} {case.title}")
        sys.exit(0 if arguments.list else "no case is called so")
    return arguments, named
