"""Runs the codecs' cases on both sides alternately and prints the table; tests/bench/codecs.sh starts it.

Python makes a model with random weights and writes them, the audio, its codes and what it decodes from them to a
folder; ours reads the weights and the audio, and decodes Python's codes. The figures of a case are medians of whole
calls; codes and audio of both sides are compared."""
import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file

from side import Missing, Worker, chosen_cases

HERE = Path(__file__).parent
ROUNDS = 3


@dataclass
class Codec:
    title: str
    model: str  # the function of codecs_python.py that makes it
    arguments: dict = field(default_factory=dict)  # for both sides; what begins with `option_` is our tokenizer's
    seconds: float = 3.0  # of audio in a call
    aim: float = 1.5


CODECS = {
    "dac_44khz": Codec("DAC 44.1 kHz, 9 books", "dac", dict(variant="44khz")),
    "dac_24khz": Codec("DAC 24 kHz, 32 books", "dac", dict(variant="24khz")),
    "dac_16khz": Codec("DAC 16 kHz, 12 books", "dac", dict(variant="16khz")),
    "encodec_24khz": Codec("EnCodec 24 kHz, 8 books", "encodec", dict(variant="24khz", option_bandwidth=6), 10.0),
    "encodec_24khz_32": Codec("EnCodec 24 kHz, 32 books", "encodec", dict(variant="24khz", option_bandwidth=24), 10.0),
    "encodec_48khz": Codec("EnCodec 48 kHz, 4 books", "encodec",
                           dict(variant="48khz", option_bandwidth=6, option_scale=1), 5.0),
}


@dataclass
class Request:
    """What Worker.begin asks for."""

    name: str
    arguments: dict


def compare(folder):
    """Share of equal codes, share of frames with all codes equal, largest difference of the audio."""
    ours, theirs = (load_file(folder / f"{side}.safetensors") for side in ("gamut", "python"))
    if ours["codes"].shape != theirs["codes"].shape or ours["audio"].shape != theirs["audio"].shape:
        sys.exit(f"the two sides differ in shape: {ours['codes'].shape} {theirs['codes'].shape} "
                 f"{ours['audio'].shape} {theirs['audio'].shape}")
    equal = ours["codes"] == theirs["codes"]
    books = [row.unique().numel() for row in theirs["codes"]]
    difference = (ours["audio"] - theirs["audio"]).abs().max().item()
    return equal.float().mean().item(), equal.all(0).float().mean().item(), difference, statistics.mean(books)


def time_part(codec, part, sides, folder, seconds):
    """Seconds of every call a side and the peak memory of a call in MB a side."""
    arguments = {**codec.arguments, "part": part, "seconds": seconds, "exchange": folder}
    for side in sides.values():
        side.begin(Request(codec.model, arguments))
        side.time(1)
    figures = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            figures[name] += side.time(1)
    peaks = {name: side.peak_of_one_call() for name, side in sides.items()}
    for side in sides.values():
        side.end()
    return {name: statistics.median(ms) / 1e3 for name, ms in figures.items()}, peaks


def run(codec, sides, seconds):
    for part in ("encode", "decode"):
        with tempfile.TemporaryDirectory(prefix="gamut_codecs_") as folder:
            took, peaks = time_part(codec, part, sides, Path(folder), seconds)
            ours, theirs = took["gamut"] / seconds, took["python"] / seconds
            print(f"{codec.title + ', ' + part:34} {theirs:9.4f} {ours:9.4f} {theirs / ours:7.2f}x {codec.aim:5g}x "
                  f"{1 / ours:8.1f} {peaks['python']:9.0f} {peaks['gamut']:9.0f}", flush=True)
            if part == "encode":
                codes, frames, difference, used = compare(Path(folder))
                print(f"    codes equal {codes:.6f}, whole frames {frames:.6f}, audio of the same codes within "
                      f"{difference:.1e}; {used:.0f} codes of a book in use", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, help="of audio in a call")
    chosen, codecs = chosen_cases(parser, CODECS)
    sides = {"python": Worker("python", [sys.executable, str(HERE / "worker.py")]),
             "gamut": Worker("gamut", [chosen.gamut, "exec", str(HERE / "worker.lua")])}
    print(f"{'s a second of audio, medians':34} {'Python':>9} {'Gamut':>9} {'ratio':>8} {'aim':>6} "
          f"{'x real':>8} {'MB Python':>9} {'MB Gamut':>9}")
    for name, codec in codecs.items():
        try:
            run(codec, sides, chosen.seconds or codec.seconds)
        except Missing as why:
            print(f"{name}: {why}")
    for side in sides.values():
        side.close()


main()
