#!/usr/bin/env python3
# timeout: 900
"""Runs that are killed or told to stop at random times, killed at every fault point, and resumed
until they are done, end bit for bit as one that was never interrupted: weights, EMA, optimizer, random numbers, metrics.

GAMUT_KILLS sets how often to kill (default 40), GAMUT_SEED where and when."""

import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "resume"))
from harness import Study, check, difference, steps_of  # noqa: E402

POINTS = ["checkpoint.begin", "checkpoint.manifest", "checkpoint.rename", "checkpoint.renamed",
          "checkpoint.prune", "checkpoint.remove", "checkpoint.done"]
FILE_POINTS = ["file.open", "file.reserve", "file.write", "file.fsync", "file.close", "file.folder"]
MANY_ATTEMPTS = 12  # without a new checkpoint: a run that gets nowhere


def fault_points(dice):
    """Every point early, then any of them anywhere."""
    yield from (f"{point}:1" for point in POINTS + FILE_POINTS)
    while True:
        if dice.random() < 0.5:
            yield f"{dice.choice(POINTS)}:{dice.randint(1, 6)}"
        else:
            yield f"{dice.choice(FILE_POINTS)}:{dice.randint(1, 60)}"


def main():
    wanted = int(os.environ.get("GAMUT_KILLS", "40"))
    dice = random.Random(int(os.environ.get("GAMUT_SEED", "1")))
    study = Study("study")
    reference = study.folder / "reference"
    study.complete(reference)
    began = time.monotonic()
    study.complete(study.folder / "again")
    whole = time.monotonic() - began
    check(not difference(study.folder / "again", reference), "two unbroken runs differ")

    points, number, at_points, at_times = fault_points(dice), 0, 0, 0
    while at_points + at_times < wanted:
        number += 1
        run = study.folder / f"killed_{number}"
        attempts = 0
        while True:
            attempts += 1
            check(attempts <= wanted + MANY_ATTEMPTS, f"{run} does not get done")
            enough = at_points + at_times >= wanted
            if enough or attempts > MANY_ATTEMPTS and len(steps_of(run)) == 0:
                study.complete(run)
                break
            if dice.random() < 0.4:
                how = signal.SIGTERM if dice.random() < 0.3 else signal.SIGKILL
                if not study.stop_after(run, dice.uniform(0.05, 1.1 * whole), how):
                    break
                at_times += 1
            else:
                point = next(points)
                status, output = study.run(run, fail_at=point)
                check(status in (0, -9), f"{point}: the run ended with {status}:\n{output}")
                check("cannot be used" not in output, f"{point}: a kill damaged a checkpoint:\n{output}")
                if status == 0:
                    break
                at_points += 1
        complaint = difference(run, reference)
        check(not complaint, f"run {number}, killed {attempts - 1} times: {complaint}")
        leftovers = [p.name for p in (run / "checkpoints").iterdir() if p.suffix == ".tmp"]
        check(attempts == 1 or not leftovers, f"{run} was left with {leftovers}")
    print(f"{number} runs, stopped {at_times} times at random moments and {at_points} times at "
          f"fault points, ended bit for bit as the unbroken one")


if __name__ == "__main__":
    main()
