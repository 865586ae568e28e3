#!/usr/bin/env python3
"""Runs clang-tidy over the compiled sources of core, plugins and tools, one a core, and fails if any is not clean. CUDA
kernels are looked at as the emulator compiles them, which is C++.

Each source's verdict is kept under a hash of all that it depends on (its own headers, by the build's dependency log), so a
second call looks only at what changed. The precompiled header is left out: clang-tidy cannot read the compiler's, and would
parse all of LibTorch again for every file, most of which need little of it.

Usage: tidy.py CLANG_TIDY BUILD_FOLDER VERDICTS_FOLDER, from the root of the checkout, after a build.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path.cwd()


def sources(build):
    """The compile command of each source; those that are compiled for several processors count once."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        inside = os.path.relpath(entry["file"], ROOT)
        if inside.split("/")[0] in ("core", "plugins", "tools"):
            commands.setdefault(entry["file"], entry)
    return commands


def without_precompiled_header(command):
    command = re.sub(r" -Winvalid-pch -include \S+/cmake_pch\.hxx", "", command)
    # What GCC alone knows of sanitizers, and OpenMP, whose header comes with the compiler that builds.
    return re.sub(r" (-f(no-)?sanitize\S*|--param=\S+|-fopenmp)", "", command)


def own_headers(build):
    """The project's files that each source includes, by what ninja saw when it compiled it."""
    listing = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found = {}
    for block in listing.split("\n\n"):
        lines = [os.path.normpath(build / line.strip()) for line in block.splitlines()[1:]]
        if lines:
            found.setdefault(lines[0], set()).update(line for line in lines if belongs(line))
    return found


def belongs(path):
    return path.startswith(f"{ROOT}/") and not path.startswith((f"{ROOT}/.gamut/", f"{ROOT}/build/"))


def verdict_name(common, command, headers):
    digest = hashlib.sha256(common + command.encode())
    for path in sorted(headers):
        digest.update(path.encode() + b"\0" + pathlib.Path(path).read_bytes())
    return digest.hexdigest()[:40]


def main():
    tidy, build, verdicts = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    verdicts.mkdir(parents=True, exist_ok=True)
    commands, headers = sources(build), own_headers(build)
    common = subprocess.run([tidy, "--version"], capture_output=True, check=True).stdout
    common += (ROOT / ".clang-tidy").read_bytes()
    database = []
    for entry in commands.values():
        entry["command"] = without_precompiled_header(entry["command"])
        database.append(entry)
    (verdicts / "compile_commands.json").write_text(json.dumps(database))
    # Headers that come with the compiler that builds and not with clang-tidy, such as the sanitizers'.
    own = subprocess.run(["g++", "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
    arguments = [tidy, "-p", verdicts, "--quiet", f"--extra-arg=-idirafter{own}"]

    def check(path):
        known = headers.get(path)
        # What was never compiled has no known headers, and is looked at every time.
        verdict = known and verdicts / verdict_name(common, commands[path]["command"], known | {path})
        if verdict and verdict.exists():
            return True
        print("clang-tidy", shlex.quote(os.path.relpath(path, ROOT)), flush=True)
        run = subprocess.run([*arguments, path], capture_output=True, text=True)
        if run.returncode != 0:
            print(run.stdout + run.stderr, flush=True)
        elif verdict:
            verdict.touch()
        return run.returncode == 0

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        clean = list(pool.map(check, sorted(commands)))
    sys.exit(0 if all(clean) else 1)


if __name__ == "__main__":
    main()
