#!/usr/bin/env python3
"""The golf study's train.lua gives the losses of a twin in PyTorch, ten steps long: narrow models of both architectures, in
float32 and in the study's bfloat16 layout, over the rise of the momentum and the fall of the rates.
tests/data/golf/make_goldens.py wrote what they should be."""

import json
import os
import pathlib
import subprocess

SOURCE = pathlib.Path(os.environ["GAMUT_SOURCE"])
FOLDER = SOURCE / "tests" / "data" / "golf"
# As make_goldens.py has them.
SETTINGS = ["seed=1337", "device=cpu", "tokenizer=bytes", f"data={FOLDER / 'narrow'}", "context=64", "model.d_model=64",
            "train_batch_tokens=256", "accumulate=2", "max_seconds=0", "iterations=10", "warmup_steps=0",
            "momentum.warmup_steps=5", "warmdown_steps=4", "val_batch_tokens=256", "artifact=false"]
# Of a loss. The twin of float32 computes in float64; that of bfloat16 rounds at other places than our operators.
BOUNDS = {"float32": 1e-4, "bfloat16": 2e-2}


def losses(architecture, precision):
    folder = pathlib.Path(f"{architecture}_{precision}")
    command = [os.environ["GAMUT"], "run", SOURCE / "experiments" / "golf_long_context" / "train.lua", "--run-dir", folder,
               *SETTINGS, f"model.architecture={architecture}", f"precision={precision}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if result.returncode != 0:
        raise SystemExit(f"FAILED: {folder}: exit status {result.returncode}:\n{result.stdout}{result.stderr}")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["train_loss"] for line in lines if "train_loss" in line]


def main():
    goldens, failures = json.loads((FOLDER / "goldens.json").read_text())["narrow"], []
    for architecture, by_precision in goldens.items():
        for precision, expected in by_precision.items():
            ours = losses(architecture, precision)
            worst = max(abs(a - b) for a, b in zip(ours, expected, strict=True))
            print(f"{architecture}, {precision}: losses of {len(ours)} steps within {worst:.1e}")
            if not worst <= BOUNDS[precision]:
                failures.append(f"{architecture}, {precision}: {ours}, in the twin {expected}")
    if failures:
        raise SystemExit("FAILED: " + "\n".join(failures))


main()
