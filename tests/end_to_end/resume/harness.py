"""Runs the small study beside this file with the built program, kills it, and compares its ends."""

import json
import os
import pathlib
import signal
import subprocess

GAMUT = os.environ["GAMUT"]
STUDY = pathlib.Path(__file__).resolve().parent
FILES = ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "rng.safetensors"]


def make_text(path):
    """Text enough for about one epoch and a half of the study; the same every time."""
    lines, value = [], 1
    for number in range(250):
        value = value * 48271 % 2147483647
        lines.append(f"Line {number} says {value}, and {'more ' * (value % 5)}after it.\n")
    path.write_text("".join(lines))


class Study:
    """One folder with text, cache and runs."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.text = self.folder / "text.txt"
        make_text(self.text)

    def command(self, run, *arguments):
        fixed = [GAMUT, "run", STUDY, f"data={self.text}", f"cache={self.folder / 'cache'}"]
        return [str(part) for part in [*fixed, *arguments, "--run-dir", run]]

    def start(self, run, *arguments, fail_at=None, **options):
        """The run, begun or gone on with, as a process."""
        environment = dict(os.environ, **({"GAMUT_FAIL_AT": fail_at} if fail_at else {}))
        return subprocess.Popen(
            self.command(run, *arguments, "--resume"), env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", **options)

    def run(self, run, *arguments, fail_at=None, **options):
        """The same to its end: exit status (negative: the signal) and what it said."""
        process = self.start(run, *arguments, fail_at=fail_at, **options)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def complete(self, run, *arguments):
        status, output = self.run(run, *arguments)
        if status != 0:
            raise SystemExit(f"the run ended with {status}:\n{output}")
        return output

    def stop_after(self, run, seconds, how):
        """Sends the run a signal after that time; true if it had not ended by itself. SIGTERM makes
        it checkpoint and leave with 143, once it is far enough to know what that is."""
        process = self.start(run)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
            output, _ = process.communicate(timeout=60)
        expected = {0, -how} if how == signal.SIGKILL else {0, -how, 128 + how}
        if process.returncode not in expected:
            raise SystemExit(f"the run ended with {process.returncode}:\n{output}")
        return process.returncode != 0


def steps_of(run):
    """The complete steps of a run, as folders by number."""
    folders = pathlib.Path(run, "checkpoints").glob("step_*")
    return {int(f.name[5:]): f for f in folders if f.name[5:].isdigit()}


def newest(run):
    steps = steps_of(run)
    return steps[max(steps)]


def metric_lines(run):
    """(step, loss, gradient norm) of every line with a loss; numbers as they are written."""
    found = []
    for line in pathlib.Path(run, "metrics.jsonl").read_text().splitlines():
        record = json.loads(line, parse_float=str)
        if "train_loss" in record:
            found.append((record["step"], record["train_loss"], record["grad_norm"]))
    return found


def difference(run, reference):
    """What is not bit for bit as in the run that was never interrupted; "" when nothing is."""
    ours, theirs = metric_lines(run), metric_lines(reference)
    if ours != theirs:
        first = next((pair for pair in zip(ours, theirs) if pair[0] != pair[1]), (len(ours), len(theirs)))
        return f"metrics.jsonl differs, first at {first[0]} instead of {first[1]}"
    for name in FILES:
        if (newest(run) / name).read_bytes() != (newest(reference) / name).read_bytes():
            return f"{newest(run) / name} differs"
    ours, theirs = (json.loads((newest(r) / "state.json").read_text()) for r in (run, reference))
    for key in theirs:
        if key not in ("elapsed", "seconds") and ours[key] != theirs[key]:
            return f"state.json differs in {key}: {ours[key]} instead of {theirs[key]}"
    return ""


def check(condition, message):
    if not condition:
        raise SystemExit(f"FAILED: {message}")
