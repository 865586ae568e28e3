#!/usr/bin/env python3
"""The quickstart's own script at a small size gives the losses and, tensor by tensor, the gradient norms
that are kept in tests/data/goldens/quickstart.json. A change that is meant to change numbers writes them
anew: GAMUT=... GAMUT_SOURCE=... quickstart_golden.py --write, in an empty folder."""

import json
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["GAMUT_SOURCE"])
GOLDEN = SOURCE / "tests" / "data" / "goldens" / "quickstart.json"
# What is tuned is fixed here; the layers and the options of the mixers are the experiment's own.
SETTINGS = ["seed=5", "batch=2", "context=96", "steps=4", "accumulate=2", "model.d_model=48", "model.d_ff=96",
            "model.mixers.gdn.head_dim=12", "warmup_steps=2", "warmdown_steps=2", "autocast=null", "ema_decay=0.9",
            "eval_every=4", "eval_tokens=192", "sample_bytes=1", "validation=0.1", "clip_norm=1.0", "muon.lr=0.02",
            "muon.momentum=0.95", "adamw.lr=0.004", "adamw.weight_decay=0.0"]
FIRST_STEP, LATER = 1e-4, 2e-3  # relative; later steps carry the rounding of those before


def make_text(folder):
    """Forty documents of words that a fixed sequence of numbers picks."""
    words, value = "the a of gate state layer time deep wide and then runs over each token slowly".split(), 7
    folder.mkdir()
    for number in range(40):
        picked = []
        for _ in range(150):
            value = value * 48271 % 2147483647
            picked.append(words[value % len(words)])
        (folder / f"{number:02}.txt").write_text(" ".join(picked) + ".\n")


def measure():
    text = pathlib.Path("text").absolute()
    make_text(text)
    environment = dict(os.environ, GAMUT_EXPERIMENT=str(SOURCE / "experiments" / "quickstart"), XDG_CACHE_HOME=os.getcwd())
    result = subprocess.run(
        [os.environ["GAMUT"], "run", SOURCE / "tests/end_to_end/golden", f"data={text}", *SETTINGS, "--run-dir", "run"],
        env=environment, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    if result.returncode != 0:
        raise SystemExit(f"FAILED: exit status {result.returncode}:\n{result.stdout}{result.stderr}")
    norms = [json.loads(line[7:]) for line in result.stdout.splitlines() if line.startswith("golden {")]
    lines = [json.loads(line) for line in pathlib.Path("run/metrics.jsonl").read_text().splitlines()]
    return {
        "losses": [line["train_loss"] for line in lines if "train_loss" in line],
        "grad_norms": [line["grad_norm"] for line in lines if "grad_norm" in line],
        "val_bpb": [line["val_bpb"] for line in lines if "val_bpb" in line],
        "first_gradients": norms[0],
    }


def differences(ours, golden):
    def compare(name, value, expected, tolerance):
        if not abs(value - expected) <= tolerance * abs(expected):
            yield f"{name} is {value:.9g}, was {expected:.9g}"

    if ours["first_gradients"].keys() != golden["first_gradients"].keys():
        yield f"other tensors: {sorted(ours['first_gradients'].keys() ^ golden['first_gradients'].keys())}"
        return
    for name, norm in golden["first_gradients"].items():
        yield from compare(f"the gradient norm of {name}", ours["first_gradients"][name], norm, FIRST_STEP)
    for kind in ("losses", "grad_norms", "val_bpb"):
        if len(ours[kind]) != len(golden[kind]):
            yield f"{len(ours[kind])} {kind}, were {len(golden[kind])}"
        for step, (value, expected) in enumerate(zip(ours[kind], golden[kind]), 1):
            tolerance = FIRST_STEP if step == 1 and kind != "val_bpb" else LATER
            yield from compare(f"{kind} {step}", value, expected, tolerance)


def main():
    ours = measure()
    if sys.argv[1:] == ["--write"]:
        GOLDEN.write_text(json.dumps(ours, indent=1) + "\n")
        print(f"wrote {GOLDEN}")
        return
    found = list(differences(ours, json.loads(GOLDEN.read_text())))
    if found:
        raise SystemExit("FAILED:\n" + "\n".join(found))
    print(f"ok: {len(ours['losses'])} steps, {len(ours['first_gradients'])} gradients")


main()
