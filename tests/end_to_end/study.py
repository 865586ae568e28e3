#!/usr/bin/env python3
"""A grid of small runs: told to stop, killed, its run killed, resumed bit for bit; failing cells, cells that another
process holds, two studies in one folder, another configuration than before, --dry-run."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "resume"))
from harness import GAMUT, check, difference, make_text  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent / "study"
WORK = pathlib.Path("work").absolute()
CELLS = ["w8_seed1", "w8_seed2", "w12_seed1", "w12_seed2"]


def start(folder, *arguments, **options):
    command = [GAMUT, "run", FOLDER / "study.lua", f"work={WORK}", *arguments, "--run-dir", folder]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace", **options)


def end(process, expected=0):
    output, _ = process.communicate(timeout=120)
    check(process.returncode == expected, f"exit code {process.returncode} instead of {expected}:\n{output}")
    return output


def run(folder, *arguments, expected=0):
    return end(start(folder, *arguments), expected)


def wait_for(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        check(time.monotonic() < deadline, f"waited in vain for {what}")
        time.sleep(0.01)


def switch(kind, cell, on=True):
    path = WORK / f"{kind}_{cell}"
    path.touch() if on else path.unlink()


def steps_done(folder, cell):
    path = pathlib.Path(folder, cell, "metrics.jsonl")
    return path.read_text().count("train_loss") if path.exists() else 0


def record(folder, cell):
    return json.loads(pathlib.Path(folder, cell, "run.json").read_text())


def parent_of(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def child_of(process):
    children = [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(name) == process.pid]
    check(len(children) == 1, f"a study with the children {children}")
    return children[0]


def is_alive(pid):
    """A zombie that nobody collects has ended, too."""
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def met_in(folder, cell, *arguments, **options):
    """A study that was started and is now at the third step of that cell, and the process of the cell."""
    switch("hold", cell)
    process = start(folder, *arguments, **options)
    before = steps_done(folder, cell)
    wait_for(lambda: steps_done(folder, cell) >= 3 and steps_done(folder, cell) > before, f"{cell} to be held")
    return process, child_of(process)


def same_as(reference, folder, cells=tuple(CELLS)):
    for cell in cells:
        complaint = difference(folder / cell, reference / cell)
        check(not complaint, complaint)


def test_whole(reference):
    listed = run(reference, "--dry-run")
    check("[3 of 4]  width 12, seed 1  to do" in listed and "4 of 4 cells to do" in listed, listed)
    check(not reference.exists(), "--dry-run left a folder")
    output = run(reference)
    check("[1 of 4] width 8, seed 1\n" in output and "4 of 4 cells finished" in output, output)
    check("[4 of 4] width 12, seed 2, about" in output, f"no estimate after cells of the same width:\n{output}")
    check("12        2  3.0000 ± 0.0000" in output, f"no table:\n{output}")
    check((reference / "page.txt").read_text() == "".join(f"{cell} finished\n" for cell in CELLS), "the page is not true")
    page = (reference / "index.html").read_text()
    for part in ("Two widths", r"5\.\d{4} ± 0\.\d{4}", "Training loss by step", "Training loss by time", "w12_seed2/report.html"):
        check(re.search(part, page), f"the page has no {part}")
    saved = json.loads((reference / "study.json").read_text())
    check([cell["name"] for cell in saved["cells"]] == CELLS, f"study.json: {saved}")
    log = (reference / CELLS[0] / "output.log").read_text()
    check("loss" in log and "Run folder" in log and "\r" not in log, f"output.log:\n{log}")
    again = run(reference)
    check("0 of 4 cells to do" in again and "[1 of 4]" not in again, f"finished cells were run again:\n{again}")


def test_parts(reference):
    """A part leaves the others in study.json and on the page."""
    output = run(reference, "widths=[12]", "seeds=[2]", "--dry-run")
    check("[1 of 1]  width 12, seed 2  finished  took" in output, output)
    check("there is no" not in output and "3 of" not in output, output)
    run(reference, "widths=[12]")
    saved = json.loads((reference / "study.json").read_text())
    check([cell["name"] for cell in saved["cells"]] == CELLS, f"study.json lost cells: {saved}")
    check(len((reference / "page.txt").read_text().splitlines()) == 4, "the page lost cells")


def test_ends(reference, folder):
    """The study is killed in its first cell, told to stop in the second, its run is killed in the third."""
    process, child = met_in(folder, CELLS[0])
    process.kill()
    process.wait()
    wait_for(lambda: not is_alive(child), "the run of a killed study to end")
    check(record(folder, CELLS[0])["status"] == "stopped", "a run whose study was killed did not checkpoint")
    switch("hold", CELLS[0], on=False)

    process, child = met_in(folder, CELLS[1])
    process.terminate()
    output = end(process, expected=143)
    check("goes on at step 3" in output, f"the first cell was not gone on with:\n{output}")
    check(output.count("stopping after this step") == 1 and "The same command goes on" in output, output)
    check(not is_alive(child) and record(folder, CELLS[1])["status"] == "stopped", "the run was not stopped")
    switch("hold", CELLS[1], on=False)

    process, child = met_in(folder, CELLS[2])
    os.kill(child, signal.SIGKILL)
    output = end(process, expected=1)
    check("cell w12_seed1 failed: it was killed" in output and "[4 of 4]" in output, output)
    check("3 of 4 cells finished" in output, output)
    switch("hold", CELLS[2], on=False)

    output = run(folder)
    check("1 of 4 cells to do" in output and "4 of 4 cells finished" in output, output)
    same_as(reference, folder)


def test_terminal(reference, folder):
    """Ctrl-C at a terminal reaches the whole group, and counts once. The run sees a terminal."""
    master, slave = os.openpty()
    switch("hold", CELLS[0])
    command = [GAMUT, "run", FOLDER / "study.lua", f"work={WORK}", "widths=[8]", "seeds=[1]", "--run-dir", folder]
    process = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True, env=dict(os.environ, TERM="xterm"))
    os.close(slave)
    wait_for(lambda: steps_done(folder, CELLS[0]) >= 3, "the cell to be held")
    os.killpg(process.pid, signal.SIGINT)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:  # the terminal's other side was closed
        pass
    check(process.wait(60) == 130, f"exit code {process.returncode} after Ctrl-C:\n{shown.decode()}")
    check(b"\x1b[K" in shown, f"the run saw no terminal:\n{shown!r}")
    check(shown.count(b"stopping after this step") == 1, f"said more than once:\n{shown.decode()}")
    log = (folder / CELLS[0] / "output.log").read_text()
    check("\x1b" not in log and "\r" not in log and "interrupted by SIGINT" in log, f"output.log:\n{log!r}")
    switch("hold", CELLS[0], on=False)
    run(folder, "widths=[8]", "seeds=[1]")
    same_as(reference, folder, CELLS[:1])


def test_failing(folder):
    switch("broken", "w8_seed1")
    output = run(folder, "seeds=[1]", expected=1)
    check("broken on purpose" in output and "[2 of 2] width 12" in output, output)
    check("width 8, seed 1  failed: " in output and "1 of 2 cells finished" in output, output)
    check("failed: " in run(folder, "seeds=[1]", "--dry-run"), "the next call does not know that the cell failed")
    switch("broken", "w8_seed1", on=False)
    output = run(folder, "seeds=[1]")
    check("2 of 2 cells finished" in output and "[2 of 2]" not in output, output)


def test_asked_for(reference):
    check("there are no cells" in run(reference, "seeds=[]", expected=1), "an empty study is not told")


def test_changed(reference):
    output = run(reference, "steps=7", expected=3)
    check("w8_seed1, finished: steps was 6 and is now 7 (--accept steps)" in output, output)
    check("w12_seed2" in output, f"only some of the changed cells were told:\n{output}")
    output = run(reference, "steps=7", "--accept", "steps")
    check("w8_seed1" not in output, output)
    check("0 of 4 cells to do" in output, f"an accepted difference is run again:\n{output}")
    output = run(reference, "--accept", "d_modle")
    check("--accept d_modle was not needed" in output, output)


def test_two_at_once(reference, folder):
    first, _ = met_in(folder, CELLS[0])
    by_hand = [GAMUT, "run", FOLDER / "train.lua", "--run-dir", folder / CELLS[1], "seed=2", f"data={WORK}/text.txt",
               f"cache={WORK}/cache", f"hold={WORK}/hold_{CELLS[1]}", f"broken={WORK}/broken_{CELLS[1]}"]
    switch("hold", CELLS[1])
    other = subprocess.Popen([str(word) for word in by_hand], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: steps_done(folder, CELLS[1]) >= 3, "the run by hand to be held")
    output = run(folder)
    check(f"width 8, seed 1  running, held by process {first.pid} on" in output, f"who holds the cell is not said:\n{output}")
    check("2 of 4 cells to do; 2 run by other processes" in output and "works on it" in output, output)
    check("width 8, seed 2  running" in output and "2 of 4 cells finished" in output, output)
    # In this order: a study that is done before the run by hand leaves that one's cell to it, rightly.
    switch("hold", CELLS[1], on=False)
    check(other.wait(60) == 0, "the run by hand failed")
    switch("hold", CELLS[0], on=False)
    output = end(first)
    check("4 of 4 cells finished" in output and "[3 of 4]" not in output, f"cells were run twice:\n{output}")
    same_as(reference, folder)


def main():
    WORK.mkdir()
    make_text(WORK / "text.txt")
    reference = pathlib.Path("reference").absolute()
    test_whole(reference)
    test_parts(reference)
    test_ends(reference, pathlib.Path("ends").absolute())
    test_terminal(reference, pathlib.Path("terminal").absolute())
    test_failing(pathlib.Path("failing").absolute())
    test_two_at_once(reference, pathlib.Path("two").absolute())
    test_asked_for(reference)
    test_changed(reference)
    print("ok")


main()
