#!/usr/bin/env python3
"""SIGINT and SIGTERM checkpoint and leave a run that, resumed, ends bit for bit as one never stopped."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "resume"))
from harness import Study, check, difference, steps_of  # noqa: E402


def stop_after_first_step(study, run, which):
    process = study.start(run, start_new_session=True)
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(which)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def main():
    study = Study("study")
    reference = study.folder / "reference"
    study.complete(reference)
    for which in (signal.SIGINT, signal.SIGTERM):
        run = study.folder / which.name
        status, output = stop_after_first_step(study, run, which)
        if status == 0:
            print(f"{which.name}: the run was over before the signal")
            continue
        check(status == 128 + which, f"{which.name} gave exit status {status}:\n{output}")
        check(f"interrupted by {which.name}" in output and "--resume" in output, f"not said:\n{output}")
        check("stopping after this step" in output, f"the signal was not answered at once:\n{output}")
        check(steps_of(run), f"{which.name} left no checkpoint:\n{output}")
        check((run / "report.html").exists(), "a stopped run has no report")
        study.complete(run)
        check(not difference(run, reference), f"after {which.name}: {difference(run, reference)}")
        print(f"ok: {which.name}")


main()
