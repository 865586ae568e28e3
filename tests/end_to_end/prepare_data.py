#!/usr/bin/env python3
"""`gamut data prepare`, killed at random moments and at every fault point and called again, gives byte for
byte what an unbroken call gives; bad files are listed and skipped; a recipe of one's own works.

GAMUT_KILLS sets how often to kill (default 6), GAMUT_SEED when, GAMUT_FILES how many tiny files there are."""

import array
import json
import math
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check  # noqa: E402

GAMUT = os.environ["GAMUT"]
BEADS = os.path.join(os.environ["GAMUT_BUILD"], "tests/plugins/beads")
SOURCE = pathlib.Path(os.environ["GAMUT_SOURCE"])
POINTS = ["prepare.record:2", "prepare.recorded:9", "prepare.sync:1", "prepare.shards:1", "prepare.rename:2",
          "prepare.manifest:1", "prepare.rename:5", "prepare.done:1"]


def command(set_name, out, *settings):
    return [GAMUT, "--plugin-path", BEADS, "data", "prepare", set_name, f"out={out}", "tokenizer=beads", *settings]


def prepare(set_name, out, *settings, env=None, expect=0):
    done = subprocess.run(command(set_name, out, *settings), capture_output=True, text=True, errors="replace",
                          env={**os.environ, **(env or {})})
    check(expect is None or done.returncode == expect,
          f"{settings} ended with {done.returncode}, not {expect}:\n{done.stdout}{done.stderr}")
    return done


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in pathlib.Path(folder).rglob("*") if path.is_file()}


def same(one, other, what):
    a, b = contents(one), contents(other)
    check(a.keys() == b.keys(), f"{what}: the files differ: {sorted(a.keys() ^ b.keys())}")
    for name in a:
        check(a[name] == b[name], f"{what}: {name} differs")


def samples(count, seed, frequency=440.0, rate=8000):
    dice = random.Random(seed)
    level = dice.uniform(0.2, 0.8)
    return [level * math.sin(2 * math.pi * frequency * i / rate) for i in range(count)]


def write_wav(path, values, rate=8000, channels=1, width=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            data = bytes(int(128 + 127 * x) for x in values)
        else:
            data = array.array("h", [int(32767 * x) for x in values]).tobytes()
        file.writeframes(data)


def write_float_wav(path, values, rate=8000):
    data = struct.pack(f"<{len(values)}f", *values)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 3, 1, rate, 4 * rate, 4, 32) + b"data" + struct.pack("<I", len(data))
    path.write_bytes(head + data)


def make_music(folder, count):
    for i in range(count):
        write_wav(folder / f"album_{i % 6}" / f"track_{i:03d}.wav", samples(2000 + 997 * i % 30000, i, 200 + i))


def kills(music, reference):
    """Every fault point, then random moments."""
    slow = ["tokenizer.slow_ms=5", "workers=3"]
    reference_slow = reference.with_name("reference_slow")
    began = time.monotonic()
    prepare("audio_folder", reference_slow, f"source={music}", *slow)
    whole = time.monotonic() - began
    out = reference.with_name("killed")
    for point in POINTS:
        done = prepare("audio_folder", out, f"source={music}", *slow, env={"GAMUT_FAIL_AT": point}, expect=None)
        check(done.returncode == -signal.SIGKILL, f"{point} did not kill: {done.returncode} {done.stderr}")
        if point.startswith("prepare.rename") or point.startswith("prepare.manifest"):
            check(not (out / "manifest.json").exists(), f"{point} left a manifest")
        prepare("audio_folder", out, f"source={music}", *slow)
        same(reference_slow, out, point)
        shutil.rmtree(out)
    dice = random.Random(int(os.environ.get("GAMUT_SEED", "1")))
    left = int(os.environ.get("GAMUT_KILLS", "6"))
    while left > 0:
        process = subprocess.Popen(command("audio_folder", out, f"source={music}", *slow),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0.1, 0.9 * whole))
            check(process.returncode == 0, f"a resumed call ended with {process.returncode}")
            same(reference_slow, out, "killed at random moments")
            shutil.rmtree(out)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            left -= 1
    prepare("audio_folder", out, f"source={music}", *slow)
    same(reference_slow, out, "killed at random moments")


def interrupted(music, work):
    out = work / "interrupted"
    slow = ["tokenizer.slow_ms=100", "workers=1", f"source={music}"]
    process = subprocess.Popen(command("audio_folder", out, *slow), stderr=subprocess.PIPE, text=True)
    while not (out / ".prepare" / "journal").exists() or (out / ".prepare" / "journal").stat().st_size < 3000:
        time.sleep(0.05)
        check(process.poll() is None, "it ended before it could be interrupted")
    locked = prepare("audio_folder", out, *slow, expect=1)
    check("another process is preparing" in locked.stderr, f"a second process was let in: {locked.stderr}")
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=20)[1]
    check(process.returncode == 130, f"SIGINT gave {process.returncode}")
    check("the same command goes on from there" in error, f"SIGINT did not say how to go on: {error}")
    changed = prepare("audio_folder", out, *slow, "min_seconds=0.2", expect=1)
    check("`options.min_seconds` was 0.1 and is 0.2 now" in changed.stderr, f"other settings: {changed.stderr}")
    full = prepare("audio_folder", out, *slow, env={"GAMUT_FAIL_AT": "prepare.record:1=ENOSPC"}, expect=1)
    check("No space left on device" in full.stderr, f"a full disk: {full.stderr}")


def bad_files(work):
    folder = work / "bad"
    folder.mkdir()
    good = samples(16000, 1)
    (folder / "zero_bytes.wav").write_bytes(b"")
    write_wav(folder / "no_samples.wav", [])
    write_wav(folder / "one_sample.wav", [0.5])
    write_wav(folder / "eight_bits.wav", good, width=1)
    write_float_wav(folder / "float.wav", good)
    write_float_wav(folder / "nan.wav", good[:100] + [math.nan] + good)
    write_wav(folder / "silent.wav", [0.0] * 8000)
    write_wav(folder / "six_channels.wav", samples(6 * 192000, 2), rate=192000, channels=6)
    (folder / "text.wav").write_text("this is no audio\n" * 100)
    (folder / "text.mp3").write_text("nor is this\n" * 100)
    write_wav(folder / "whole.wav", good)
    whole = (folder / "whole.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:len(whole) // 2])
    (folder / "header_only.flac").write_bytes(b"fLaC\0\0\0\x22" + bytes(34))
    (folder / "folder.wav").mkdir()
    (folder / "dangling.wav").symlink_to("nowhere")
    out = work / "bad_out"
    settings = [f"source={folder}", "max_skipped=0.9", "validation=0"]
    done = prepare("audio_folder", out, *settings)
    reasons = {line["name"]: line["reason"] for line in map(json.loads, (out / "skipped.jsonl").open())}
    used = {line["name"] for line in map(json.loads, (out / "sources.jsonl").open())}
    check(used == {"eight_bits.wav", "float.wav", "six_channels.wav", "whole.wav"}, f"used: {used}")
    expected = {"one_sample.wav": "shorter than min_seconds", "silent.wav": "silent", "nan.wav": "finite",
                "no_samples.wav": "", "zero_bytes.wav": "", "text.wav": "", "text.mp3": "", "cut.wav": "",
                "header_only.flac": "", "dangling.wav": ""}
    check(reasons.keys() == expected.keys(), f"skipped: {reasons}")
    for name, word in expected.items():
        check(word in reasons[name] and len(reasons[name]) > 10, f"{name}: {reasons[name]}")
    check("10 items were skipped" in done.stdout, f"it did not say how many were skipped: {done.stdout}")
    few = prepare("audio_folder", work / "too_many", f"source={folder}", expect=1)
    check("items could not be used" in few.stderr and "max_skipped" in few.stderr, few.stderr)


def many_files(work):
    count = int(os.environ.get("GAMUT_FILES", "3000"))
    folder = work / "many"
    write_wav(folder / "one.wav", samples(1000, 3))
    one = (folder / "one.wav").read_bytes()
    for i in range(count):
        if i % 1000 == 0:
            (folder / f"{i // 1000:03d}").mkdir()
        (folder / f"{i // 1000:03d}" / f"{i:06d}.wav").write_bytes(one)
    began = time.monotonic()
    prepare("audio_folder", work / "many_out", f"source={folder}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    manifest = json.loads((work / "many_out" / "manifest.json").read_text())
    check(manifest["units"] == {"used": count + 1, "skipped": 0}, f"{manifest['units']}")
    print(f"{count} tiny files: {time.monotonic() - began:.1f} s, at most {peak:.0f} MB")


def inspected(folder):
    """An item is found on whichever side of the split it is."""
    for side in ("train", "val"):
        name = next(line["name"] for line in map(json.loads, (folder / "sources.jsonl").open()) if line["split"] == side)
        done = subprocess.run([GAMUT, "data", "inspect", str(folder), f"item={name}"], capture_output=True, text=True)
        check(done.returncode == 0 and f"  {name}" in done.stdout, f"{name} of {side}: {done.stdout}{done.stderr}")


def cut_shard(reference, music, work):
    cut = work / "cut"
    shutil.copytree(reference, cut)
    shard = cut / "train_000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    done = prepare("audio_folder", cut, f"source={music}", expect=1)
    check("its train_000000.safetensors is" in done.stderr, f"a shard cut short: {done.stderr}")


def own_recipe(music, work):
    """The complete example of scripts/gamut/data/README.md."""
    readme = (SOURCE / "scripts/gamut/data/README.md").read_text()
    example = re.search(r"```lua\n(-- my_set\.lua.*?)```", readme, re.S)
    check(example, "scripts/gamut/data/README.md has no example my_set.lua")
    (work / "my_set.lua").write_text(example.group(1))
    with (work / "tracks.tsv").open("w") as table:
        for path in sorted(music.rglob("*.wav")):
            table.write(f"{path.relative_to(music)}\t{path.parent.name}\tA song\n")
    out = work / "own_out"
    prepare(str(work / "my_set.lua"), out, f"source={music}", f"table={work / 'tracks.tsv'}", "validation=0.3")
    sides = {}
    for line in map(json.loads, (out / "sources.jsonl").open()):
        sides.setdefault(line["name"].split("/")[0], set()).add(line["split"])
    check(all(len(side) == 1 for side in sides.values()), f"an artist is on both sides: {sides}")
    check(set().union(*sides.values()) == {"train", "val"}, f"splits: {sides}")
    wrong = prepare(str(work / "my_set.lua"), work / "x", f"source={music}", "tabel=x", expect=1)
    check("did you mean `table`" in wrong.stderr, wrong.stderr)


def main():
    work = pathlib.Path.cwd()
    music = work / "music"
    make_music(music, 40)
    reference = work / "reference"
    prepare("audio_folder", reference, f"source={music}", "workers=1")
    for workers in (2, 5):
        prepare("audio_folder", work / f"with_{workers}", f"source={music}", f"workers={workers}")
        same(reference, work / f"with_{workers}", f"{workers} workers")
    check("already prepared" in prepare("audio_folder", reference, f"source={music}").stdout, "it was made again")
    inspected(reference)
    cut_shard(reference, music, work)
    kills(music, reference)
    interrupted(music, work)
    bad_files(work)
    many_files(work)
    own_recipe(music, work)


main()
