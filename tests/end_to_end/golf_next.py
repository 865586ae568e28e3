#!/usr/bin/env python3
"""The author's next experiments on made-up shards: step times, measured once and again where the conditions changed; places
of attention with derived schedules and budgets; the sweep; and what seeds_16k.lua and ratios.lua plan at full scale."""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check, write_shard  # noqa: E402

GAMUT = os.environ["GAMUT"]
FOLDER = pathlib.Path(os.environ["GAMUT_SOURCE"]) / "experiments/golf_long_context"
DATA = ["data=shards", "tokenizer=bytes"]
SMALL = ["run.device=cpu", "run.model.n_heads=4", "run.model.n_kv_heads=2", "probe.steps=4", "probe.train_batch_tokens=64",
         "probe.accumulate=1"]
RUN = ["run.max_seconds=0", "run.iterations=3", "run.accumulate=1", "run.val_every=0", "run.val_tokens=64", "run.artifact=false",
       "run.train_batch_tokens=64", "schedule=probe"]


def run(script, folder, *words):
    command = [GAMUT, "run", str(FOLDER / script), "--run-dir", folder, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{script} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def load(*parts):
    return json.loads(pathlib.Path(*parts).read_text())


def mean_of_later_half(folder):
    lines = [json.loads(line) for line in pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()]
    paces = [line["tokens_per_second"] for line in lines if "train_loss" in line]
    check(len(paces) == 4, f"{folder} has {len(paces)} steps")
    return 1000 * sum(64 / pace for pace in paces[2:]) / 2


def check_step_times():
    words = [*DATA, *SMALL, "run.model.d_model=32", "contexts=[16, 32]"]
    text = run("step_times.lua", "times", *words)
    check("[4 of 4] step time of hybrid at 32" in text, text)
    check("on a step of" in text or "is faster from 16 to 32 tokens" in text, text)
    probes = load("times", "probes.json")["probes"]
    check([(p["context"], p["architecture"]) for p in probes]
          == [(16, "baseline"), (16, "hybrid"), (32, "baseline"), (32, "hybrid")], probes)
    for probe in probes:
        expected = mean_of_later_half(f"times/probes/{probe['name']}")
        check(abs(probe["step_ms"] - expected) < 1e-6 * expected, f"{probe['step_ms']} is not {expected}")
        check(probe["machine"]["kind"] == "cpu" and probe["machine"]["threads"] >= 1 and probe["measured"], probe)
        check("embed_lr=0.05" in probe["settings"] and "train_batch_tokens=64" in probe["settings"], probe)
        check(f"{probe['step_ms']:.1f}" in text, text)
        weights = list(pathlib.Path("times/probes", probe["name"]).rglob("*.safetensors"))
        check(not weights, f"a probe's weights are kept: {weights}")
    check("step time of" not in run("step_times.lua", "times", *words), "kept step times were measured again")
    again = run("step_times.lua", "times", *words, "contexts=[16]", "architectures=[hybrid]", "run.precision=float32")
    check("hybrid at 16 is measured again: precision was left out and is float32" in again, again)
    check(len(load("times", "probes.json")["probes"]) == 5, "the new step time is not kept beside the others")


def check_placements():
    words = [*DATA, *SMALL, *RUN, "contexts=[16]", "placements=[[3, 7], [4]]", "parameters=60000", "seeds=[5]"]
    text = run("placements.lua", "placed", *words)
    check("Width: " in text and "the nearest to 60,000" in text, text)
    check("2 of 2 cells finished" in text and "16: attention_4 - attention_3_7 = " in text, text)
    one, other = [load("placed", f"{model}_16_seed5", "run.json") for model in ("attention_3_7", "attention_4")]
    check(all(abs(cell["parameters"] - 60000) < 15000 for cell in (one, other)), "parameters are not near the budget")
    difference = load("placed", "differences.json")["differences"][0]["difference"]
    expected = other["results"]["pre_quant_bpb"] - one["results"]["pre_quant_bpb"]
    check(abs(difference - expected) < 1e-9, f"{difference} is not {expected}")
    config = pathlib.Path("placed/attention_4_16_seed5/config.yaml").read_text()
    # 0.18 and 0.36 of three steps.
    check("warmup_steps: !integer 1" in config and "warmdown_steps: !integer 1" in config, config)
    check([s["schedule"] for s in load("placed", "probes.json")["schedules"]]
          == [{"steps": 3, "momentum_warmup": 1, "warmdown": 1}] * 2, "schedules are not kept")
    check(pathlib.Path("placed/index.html").stat().st_size > 10000, "there is no page")
    check("0 of 2 cells to do" in run("placements.lua", "placed", *words), "was run again")


def check_sweep():
    words = [*DATA, *SMALL, *RUN, "context=16", "run.model.d_model=32", "tokens=[64, 128]", "accumulate=[1]", "rate=[1.0]",
             "warmdown=[0.36, 0.7]", "seed=1", "seeds=[2]", "margin=100.0", "schedule=published", "run.warmdown_steps=1",
             "run.momentum.warmup_steps=1"]
    text = run("tuned_8k.lua", "tuned", *words)
    # Nothing is a hundred bits better than what the sweep starts from.
    check("Chosen: 64_tokens_rate_1_warmdown_0.36, accumulate 1" in text, text)
    start, others = "hybrid_64_tokens_rate_1_warmdown_0.36_16", ["hybrid_16_seed2", "baseline_16_seed2"]
    more = ["hybrid_128_tokens_rate_1_warmdown_0.36_16_seed1", "hybrid_64_tokens_rate_1_warmdown_0.7_16_seed1"]
    for name in (f"{start}_seed1", f"{start}_seed2", *others, *more):
        check(load("tuned", name, "run.json")["status"] == "finished", name)
    differences = [(d["model"], d["reference"]) for d in load("tuned", "differences.json")["differences"]]
    winner = start.removesuffix("_16")
    check(differences == [("hybrid", "baseline"), (winner, "baseline"), (winner, "hybrid")], differences)
    config = pathlib.Path("tuned/hybrid_64_tokens_rate_1_warmdown_0.7_16_seed1/config.yaml").read_text()
    check("warmdown_steps: !integer 2" in config, config)


def check_plans():
    text = run("seeds_16k.lua", "seeds", "--dry-run")
    check("10 of 10 cells to do, about 1 h 40 min" in text, text)
    check("context=16384" in text and text.count("model.architecture=hybrid") == 5 and text.count("seed=1341") == 2, text)
    text = run("ratios.lua", "ratios", "--dry-run", "contexts=[32768]")
    check("3 of 3 cells to do" in text and "model.parameters=17424332" in text, text)
    check("gdn_6_to_3, 32768, seed 1337" in text and "gdn_8_to_1, 32768" in text and "gdn_7_to_2, 32768" in text, text)
    check("warmdown_steps=158" in text and "momentum.warmup_steps=79" in text and "train_batch_tokens=524288" in text, text)
    check("[gdn,gdn,attention,gdn,gdn,attention,gdn,gdn,attention]" in text.replace('"', "").replace(" ", ""), text)
    check(not pathlib.Path("ratios").exists(), "--dry-run wrote something")


pathlib.Path("shards").mkdir()
write_shard(pathlib.Path("shards/fineweb_train_000000.bin"), 4000, 1)
write_shard(pathlib.Path("shards/fineweb_val_000000.bin"), 400, 2)
check_step_times()
check_placements()
check_sweep()
check_plans()
