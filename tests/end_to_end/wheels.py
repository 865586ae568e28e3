#!/usr/bin/env python3
"""Unpacking of pinned wheels: wrong files are refused, an interrupted set-up is repaired."""

import hashlib
import os
import pathlib
import subprocess
import sys
import zipfile

SOURCE = pathlib.Path(os.environ["GAMUT_SOURCE"])
SHELL = """
set -euo pipefail
root=$1 state=$2
. "$root/third_party/progress.sh"
. "$root/third_party/setup.sh"
provide "$3" "the thing" "$4" thing/lib/
"""


def make_wheel(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("thing/lib/thing.so", (2020, 2, 2, 2, 2, 2)), text)
        archive.writestr(zipfile.ZipInfo("thing/python/module.py"), "unwanted")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def provide(state, pins, destination):
    environment = dict(os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    command = ["bash", "-c", SHELL, "_", SOURCE, state, pins, destination]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def main():
    state = pathlib.Path("state").absolute()
    wheel = state / "wheels" / "thing-1.0-py3-none-any.whl"
    destination = state / "thing"
    pins = pathlib.Path("pins.txt").absolute()
    pins.write_text(f"# A pin.\nthing==1.0 --hash=sha256:{make_wheel(wheel, 'good')}\n")

    # Another file of that name is not used, and nothing is left that looks complete.
    make_wheel(wheel, "tampered")
    result = provide(state, pins, destination)
    assert result.returncode != 0 and "could not be fetched" in result.stderr, result
    assert not destination.exists()
    script = SOURCE / "third_party" / "wheels.py"
    refusal = subprocess.run(
        [sys.executable, script, "unpack", pins, wheel.parent, "elsewhere", "thing/"],
        capture_output=True, text=True)
    assert refusal.returncode != 0 and "another file of that name" in refusal.stderr, refusal
    assert not pathlib.Path("elsewhere").exists()

    # A set-up that was killed while unpacking, and one that was killed before its stamp.
    make_wheel(wheel, "good")
    leftover = pathlib.Path(f"{destination}.part", "thing", "lib", "half")
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half")
    destination.mkdir()
    result = provide(state, pins, destination)
    assert result.returncode == 0, result
    library = destination / "thing" / "lib" / "thing.so"
    assert library.read_text() == "good"
    assert sorted(path.name for path in library.parent.iterdir()) == ["thing.so"]
    assert not (destination / "thing" / "python").exists()
    assert library.stat().st_mtime < 1.6e9, "the wheel's date must stay, or the build becomes stale"
    assert not wheel.exists(), "unpacked wheels only take room"

    # The second call has nothing to do: it would fail without the wheel.
    result = provide(state, pins, destination)
    assert result.returncode == 0 and not result.stderr, result


main()
