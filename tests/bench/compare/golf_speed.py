"""Tokens a second of the golf study's models: Gamut, and the twin in PyTorch, eager and compiled, in turns in one run.
tests/bench/golf.sh starts it."""
import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from side import Missing, Worker, chosen_cases

HERE = Path(__file__).parent
LOSS_BOUND = {"float32": 1e-4, "bfloat16": 2e-2}  # of the losses that the sides say before they are timed


@dataclass
class Case:
    """A model in a precision; the arguments are those of the workers' golf_micro_batch."""

    title: str
    arguments: dict


@dataclass
class Request:
    """What Worker.begin asks for."""

    name: str
    arguments: dict


CASES = {f"{architecture}_{dtype}": Case(f"{architecture}, {dtype}", dict(architecture=architecture, dtype=dtype))
         for architecture in ("baseline", "hybrid") for dtype in ("float32", "bfloat16")}


def time_sides(sides, rounds):
    """Median milliseconds of a call by side; one call of each a round, the first round does not count."""
    figures = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            figures[name] += side.time(1)[:turn]
    return {name: statistics.median(ms) for name, ms in figures.items()}


def micro_batch(case, sides, chosen):
    arguments = {**case.arguments, "T": chosen.context}
    for name, side in sides.items():
        twin = {} if name == "gamut" else {"delta": chosen.delta, "compiled": int(name == "compiled")}
        side.begin(Request("golf_micro_batch", {**arguments, **twin}))
    facts = {name: side.facts() for name, side in sides.items()}
    ours = facts["gamut"]
    for name, theirs in facts.items():
        near = abs(ours["loss"] - theirs["loss"]) <= LOSS_BOUND[case.arguments["dtype"]]
        if ours["parameters"] != theirs["parameters"] or not near:
            sys.exit(f"{case.title}: gamut and {name} differ: {facts}")
    return time_sides(sides, chosen.rounds)


def update(case, sides, chosen):
    for side in sides.values():
        side.begin(Request("golf_update", case.arguments))
    return time_sides(sides, min(chosen.rounds, 3))


def measure(case, sides, chosen):
    """Milliseconds a micro-batch and an update of each side; PyTorch's update is the same under both names."""
    batch = micro_batch(case, sides, chosen)
    for side in sides.values():
        side.end()
    eager = {name: sides[name] for name in ("gamut", "eager") if name in sides}
    updates = update(case, eager, chosen) if chosen.accumulate else {}
    for side in eager.values():
        side.end()
    return batch, {name: updates.get(name, updates.get("eager", 0.0)) for name in batch}


def lines_of(case, batch, updates, chosen):
    ours = None
    for name, ms in batch.items():
        rate = chosen.context / ms * 1e3
        step = max(chosen.accumulate, 1) * ms + updates[name]
        whole = max(chosen.accumulate, 1) * chosen.context / step * 1e3
        ours = ours or (rate, whole)
        yield (f"{case.title:20} {name:10} {ms:10.0f} {rate:9.0f} {ours[0] / rate:7.2f}x {updates[name]:10.0f} "
               f"{whole:9.0f} {ours[1] / whole:7.2f}x")


def main():
    parser = argparse.ArgumentParser(prog="golf.sh speed", description=__doc__)
    parser.add_argument("--context", type=int, default=2048, help="tokens of the one sequence of a micro-batch")
    parser.add_argument("--accumulate", type=int, default=8, help="micro-batches of a step; 0: no update is timed")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each side; the figure is their median")
    parser.add_argument("--compile", action="store_true", help="the twin under torch.compile too (minutes a case)")
    parser.add_argument("--delta", choices=("chunks", "transformers"), default="chunks", help="the twin's delta rule")
    chosen, cases = chosen_cases(parser, CASES)
    python = [sys.executable, str(HERE / "worker.py")]
    sides = {"gamut": Worker("gamut", [chosen.gamut, "exec", str(HERE / "worker.lua")]), "eager": Worker("eager", python)}
    if chosen.compile:
        sides["compiled"] = Worker("compiled", python)
    print(f"1 x {chosen.context} tokens a micro-batch, {chosen.accumulate} a step, medians of {chosen.rounds}\n"
          f"{'':20} {'':10} {'micro ms':>10} {'tokens/s':>9} {'ours':>8} {'update ms':>10} {'step t/s':>9} {'ours':>8}")
    for case in cases.values():
        try:
            for line in lines_of(case, *measure(case, sides, chosen), chosen):
                print(line, flush=True)
        except Missing as why:
            print(f"{case.title}: {why}")
    for side in sides.values():
        side.close()


main()
