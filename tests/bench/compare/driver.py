"""Runs both sides of every case alternately and prints the table; tests/bench/mixers.sh starts it.

Each side is one process that lives through the run; only one of them computes at a time. A case is timed in
rounds, ours then theirs; its figure is the median of all its calls."""
import argparse
import statistics
import sys
from pathlib import Path

from plan import CASES
from side import Missing, Worker, chosen_cases

HERE = Path(__file__).parent
ROUNDS = 5
ROUND_SECONDS = 0.5


def calls_of_a_round(worker):
    first = worker.time(2)[1]
    return max(1, min(2000, int(ROUND_SECONDS * 1e3 / first)))


def check_losses(case, sides):
    """The two models are one model: as many parameters, and the same loss before the first step."""
    facts = {side.name: side.facts() for side in sides}
    ours, theirs = facts["gamut"], facts["python"]
    if ours["parameters"] != theirs["parameters"] or abs(ours["loss"] - theirs["loss"]) > case.loss_tolerance:
        sys.exit(f"{case.title}: the two sides differ: {facts}")


def time_case(case, sides):
    """Milliseconds of every call of each side; a side that lacks the case has a sentence instead."""
    missing, calls, figures = {}, {}, {}
    for side in sides:
        try:
            side.begin(case)
            calls[side], figures[side.name] = calls_of_a_round(side), []
        except Missing as why:
            missing[side.name] = str(why)
    if case.loss_tolerance and not missing:
        check_losses(case, sides)
    for _ in range(ROUNDS if len(calls) == len(sides) else 0):
        for side in sides:
            figures[side.name] += side.time(calls[side])
    for side in sides:
        side.end()
    return {**figures, **missing}


def memory_of(case, start):
    """Peak MB of one call in a process of its own that has run a small case of the kind before."""
    worker = start()
    small = type(case)(case.title, case.name, {**case.arguments, "T": 128})
    worker.begin(small)
    worker.time(1)
    worker.end()
    worker.begin(case)
    peak = worker.peak_of_one_call()
    worker.close()
    return peak


def measure_floors(gamut):
    """FLOP/s of products by dtype, bytes/s of copies, exponentials/s: the best of several."""
    from plan import Case

    def best(name, **arguments):
        gamut.begin(Case("", name, arguments))
        seconds = min(gamut.time(20)) / 1e3
        gamut.end()
        return seconds

    rates = {dtype: 2 * 1024**3 / best("gemm", n=1024, dtype=dtype) for dtype in ("float32", "bfloat16")}
    rates["byte"] = 2 * (1 << 28) / best("copy", bytes=1 << 28)
    rates["exp"] = (1 << 24) / best("exp", n=1 << 24)
    print(f"floors here, 2 threads: products {rates['float32'] / 1e9:.0f} GFLOP/s float32, "
          f"{rates['bfloat16'] / 1e9:.0f} bfloat16; copies {rates['byte'] / 1e9:.1f} GB/s; "
          f"{rates['exp'] / 1e9:.2f} G exponentials/s\n")
    return rates


def floor_ms(case, rates):
    parts = (case.flop / rates[case.dtype], case.byte / rates["byte"], case.exp / rates["exp"])
    return max(parts) * 1e3


def line_of(case, figures, rates, earlier):
    """A line of the table; `earlier` are the medians of our side by title."""
    ours, theirs = figures["gamut"], figures.get("python")
    for side, figure in figures.items():
        if isinstance(figure, str):
            return f"{case.title:38} {side} has it not: {figure}"
    a, floor = statistics.median(ours), floor_ms(case, rates)
    earlier[case.title] = a
    text = f"{case.title:38}"
    if theirs:
        b = statistics.median(theirs)
        text += f" {b:10.3f} {a:10.3f} {b / a:7.2f}x {f'{case.aim:g}x' if case.aim else '':>6}"
    else:
        ratio = f"{a / earlier[case.beside]:7.2f}x" if case.beside in earlier else ""
        text += f" {'':10} {a:10.3f} {ratio:8} {'':6}"
    text += f" {floor:9.3f} {a / floor:6.2f}" if floor else f" {'':9} {'':6}"
    text += f" {case.flop / a * 1e3 / rates[case.dtype] * 100:5.0f} %" if case.flop else f" {'':7}"
    text += f" {case.unit / a * 1e3:10.0f}" if case.unit else f" {'':10}"
    if case.exp and case.byte and not case.flop:
        both = (case.exp / rates["exp"] + case.byte / rates["byte"]) * 1e3
        text += f"   exp + bytes {both:.3f}, {a / both:.2f}x"
    return text + f"   min {min(ours):.3f}" + (f" / {min(theirs):.3f}" if theirs else "")


def print_memory(ours, theirs):
    beside = f"{theirs:10.1f} {ours:10.1f} {theirs / ours:7.2f}x {'3x':>6}" if theirs else f"{'':10} {ours:10.1f}"
    print(f"{'  peak memory of a call, MB':38} {beside}", flush=True)


def main():
    chosen, cases = chosen_cases(argparse.ArgumentParser(), CASES)

    def start_gamut():
        return Worker("gamut", [chosen.gamut, "exec", str(HERE / "worker.lua")])

    def start_python():
        return Worker("python", [sys.executable, str(HERE / "worker.py")])

    gamut, python = start_gamut(), start_python()
    rates = measure_floors(gamut)
    print(f"{'ms, medians':38} {'Python':>10} {'Gamut':>10} {'ratio':>8} {'aim':>6} {'floor':>9} {'x':>6} "
          f"{'of GEMM':>7} {'tokens/s':>10}")
    medians = {}
    for case in cases.values():
        figures = time_case(case, [gamut] if case.ours_only else [gamut, python])
        print(line_of(case, figures, rates, medians), flush=True)
        if case.memory and not any(isinstance(figure, str) for figure in figures.values()):
            print_memory(memory_of(case, start_gamut), None if case.ours_only else memory_of(case, start_python))
    gamut.close()
    python.close()


main()
