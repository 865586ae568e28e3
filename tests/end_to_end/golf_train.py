#!/usr/bin/env python3
"""A run of the golf study's train.lua on made-up shards: its lines, figures and artifact, throwaway warm-up steps that change
nothing, a kill after which it ends bit for bit as the unbroken one, the cap, and what it refuses."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check, write_shard  # noqa: E402

GAMUT = os.environ["GAMUT"]
SCRIPT = pathlib.Path(os.environ["GAMUT_SOURCE"]) / "experiments/golf_long_context/train.lua"
FILES = ["model.safetensors", "optimizer.safetensors", "rng.safetensors"]
SETTINGS = {
    "tokenizer": "bytes", "device": "cpu", "context": 16, "model.layers": "[gdn, attention, gdn]", "model.d_model": 32,
    "model.n_heads": 4, "model.n_kv_heads": 2, "train_batch_tokens": 64, "accumulate": 2, "iterations": 12,
    "max_seconds": 0, "momentum.warmup_steps": 4, "warmdown_steps": 6, "val_every": 4, "log_every": 4,
    "val_batch_tokens": 256, "checkpoint_every": 3,
}


def command(run, *extra, **changes):
    settings = {"data": "shards", **SETTINGS, **changes}
    pairs = [f"{key}={value}" for key, value in settings.items()]
    return [GAMUT, "run", str(SCRIPT), "--run-dir", run, *extra, *pairs]


def finish(run, *extra, status=0, **changes):
    done = subprocess.run(command(run, *extra, **changes), capture_output=True, text=True, check=False)
    check(done.returncode == status, f"{run} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def metrics(run):
    lines = pathlib.Path(run, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def curve(run):
    """(step, name, value) of every loss, in the order in which they were written."""
    names = ("train_loss", "val_loss", "val_bpb")
    return [(m["step"], name, m[name]) for m in metrics(run) for name in names if name in m]


def newest(run):
    return max(pathlib.Path(run, "checkpoints").glob("step_*"))


def compare(run, reference):
    check(curve(run) == curve(reference), f"{run}: losses differ from {reference}'s:\n{curve(run)}\n{curve(reference)}")
    check(newest(run).name == newest(reference).name, f"{run} ends at {newest(run).name}")
    for name in FILES:
        check((newest(run) / name).read_bytes() == (newest(reference) / name).read_bytes(), f"{run}: {name} differs")


def step_lines(run):
    text = pathlib.Path(run, "logs", f"{run}.txt").read_text()
    return [line.split(" train_time")[0] for line in text.splitlines() if line.startswith("step:")]


def check_whole_run():
    finish("plain", **{"submission.author": "A. Uthor"})
    losses = [value for _, name, value in curve("plain") if name == "val_loss"]
    check(len(losses) == 4 and losses[-1] < losses[0] - 3, f"validation: {losses}")
    steps = [step for step, name, _ in curve("plain") if name == "val_loss"]
    check(steps == [0, 4, 8, 12], f"validated at {steps}")
    lines = [line.split()[0] + line.split()[1].split(":")[0] for line in step_lines("plain")]
    train = [f"step:{s}/12train_loss" for s in range(1, 13) if s <= 10 or s % 4 == 0]
    check([line for line in lines if "train" in line] == train, f"log: {lines}")
    check(lines[0] == "step:0/12val_loss" and lines[-2:] == ["step:12/12train_loss", "step:12/12val_loss"], f"log: {lines}")
    record = json.loads(pathlib.Path("plain/run.json").read_text())
    results = record["results"]
    check((results["val_tokens"], results["val_bytes"]) == (288, 288), f"18 windows of letters: {results}")
    check(results["steps"] == 12 and results["parameters"] == record["parameters"], f"results: {results}")
    check(results["pre_quant_loss"] == losses[-1] and results["step_average_ms"] > 0 and results["peak_mib"] > 0,
          f"results: {results}")


def check_artifact():
    """The last lines are the score of the artifact, and run.json and submission.json say the same."""
    results = json.loads(pathlib.Path("plain/run.json").read_text())["results"]
    size = pathlib.Path("plain/final_model.int8.ptz").stat().st_size
    check(results["artifact_bytes"] == size and results["submission_bytes"] == size + results["code_bytes"], f"{results}")
    check(0 < abs(results["val_loss"] - results["pre_quant_loss"]) < 0.05, f"rounding to eight bits costs little: {results}")
    lines = pathlib.Path("plain/logs/plain.txt").read_text().splitlines()
    exact = f"final_int8_zlib_roundtrip_exact val_loss:{results['val_loss']:.8f} val_bpb:{results['val_bpb']:.8f}"
    check(lines[-1] == exact, f"the log ends with {lines[-1]}")
    submitted = json.loads(pathlib.Path("plain/submission.json").read_text())
    check(submitted["val_bpb"] == results["val_bpb"] and submitted["author"] == "A. Uthor", f"{submitted}")


def check_rates():
    """Rates fall over the last 6 of 12 steps, from the rate of the matrices."""
    rates = [m["lr"] for m in metrics("plain") if "lr" in m]
    expected = [0.02 * min(1, (12 - step) / 6) for step in range(12)]
    check(all(abs(a - b) < 1e-12 for a, b in zip(rates, expected)) and len(rates) == 12, f"rates: {rates}")


def check_warm_up():
    finish("warm", warmup_steps=3)
    compare("warm", "plain")
    text = pathlib.Path("warm/logs/warm.txt").read_text()
    check(text.count("\nwarmup_step:") == 3, "the log counts the warm-up")


def check_kill():
    """Killed as it begins its checkpoint of step 9, so three steps after the last; resumed with a warm-up of its own."""
    environment = dict(os.environ, GAMUT_FAIL_AT="checkpoint.begin:4")
    killed = subprocess.run(command("killed", warmup_steps=1), env=environment, capture_output=True, check=False)
    check(killed.returncode == -9 and newest("killed").name == "step_000006", f"killed: {killed}")
    finish("killed", "--resume", warmup_steps=1)
    compare("killed", "plain")
    check(step_lines("killed") == step_lines("plain"), f"the log after a kill: {step_lines('killed')}")


def check_cap():
    """The step that crosses the cap is the last, and is validated."""
    finish("capped", max_seconds=0.4, iterations=100000, val_every=0, checkpoint_every=0)
    record = json.loads(pathlib.Path("capped/run.json").read_text())
    steps = record["results"]["steps"]
    check(0 < steps < 100000 and record["training_seconds"] >= 0.4, f"capped: {steps} steps, {record['training_seconds']} s")
    check(curve("capped")[-1][:2] == (steps, "val_bpb"), "the last step is validated")
    rates = [m["lr"] for m in metrics("capped") if "lr" in m]
    check(rates[0] == 0.02 and (rates[-1] < 0.02 or steps == 1), f"rates: {rates}")
    times = [m["train_seconds"] for m in metrics("capped") if "train_seconds" in m]
    check(len(times) == 1 and times[0] >= 0.4, f"without val_every the last step alone is validated: {times}")
    text = pathlib.Path("capped/logs/capped.txt").read_text()
    check(f"step:{steps}/100000 val_loss" in text.split("\nstopping_early: wallclock_cap")[0], "validated, then stopped early")


def check_refusals():
    for changes, words in [
            ({"context": 4096}, "a multiple of 8192 would be"),
            ({"train_batch_tokens": "null"}, "nothing was published for these layers at context 16, so give train_batch_tokens"),
            ({"val_batch_tokens": 16}, "holds no sequence of 16"),
            ({"model.layers": "[]", "model.architecture": "hybird"}, "must be baseline, hybrid or hybrid_4k"),
            ({"precision": "float16"}, "precision must be bfloat16"),
            ({"data": "nowhere"}, "there is no folder nowhere; `gamut data fetch fineweb_sp1024 out=data`")]:
        output = finish("refused", status=1, **changes)
        check(words in output, f"{changes}:\n{output}")
        check(not pathlib.Path("refused").exists(), f"{changes} left a run folder")


def main():
    pathlib.Path("shards").mkdir()
    write_shard(pathlib.Path("shards/fineweb_train_000000.bin"), 500, 1)
    write_shard(pathlib.Path("shards/fineweb_train_000001.bin"), 120, 2)
    write_shard(pathlib.Path("shards/fineweb_val_000000.bin"), 300, 3)
    check_whole_run()
    check_artifact()
    check_rates()
    check_warm_up()
    check_kill()
    check_cap()
    check_refusals()


if __name__ == "__main__":
    main()
