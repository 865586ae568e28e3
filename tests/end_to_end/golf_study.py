#!/usr/bin/env python3
"""The laptop's grid of the long-context study at a small size: raw text to the finished page, cut off once on the way;
what it leaves is read back: tables, curves, logs, artifacts."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time
import zlib

GAMUT, SOURCE = os.environ["GAMUT"], pathlib.Path(os.environ["GAMUT_SOURCE"])
EXPERIMENT = SOURCE / "experiments/golf_long_context"
STUDY = pathlib.Path("study").resolve()
MODELS, CONTEXTS, STEPS = ["baseline", "hybrid"], [32, 64], 24
CELLS = [f"{model}_{context}_seed1337" for context in CONTEXTS for model in MODELS]
COMMAND = [
    GAMUT, "run", str(EXPERIMENT / "study.lua"), "--config", str(EXPERIMENT / "laptop.yaml"), "--run-dir", str(STUDY),
    "text=texts", f"contexts={CONTEXTS}", "prepare.vocab_size=320", "prepare.validation=0.2",
    "probe.steps=4", "probe.train_batch_tokens=256",
    "run.max_seconds=0", f"run.iterations={STEPS}", "run.train_batch_tokens=256", "run.model.parameters=80000",
    "run.embed_lr=0.03", "run.matrix_lr=0.02", "run.scalar_lr=0.02",  # of few steps: the study's own
    "run.val_every=8", "run.val_tokens=512", "run.val_batch_tokens=512",
]


def write_texts(folder):
    """Sixty documents of sentences whose words depend on each other, so that there is something to learn."""
    folder.mkdir()
    dice = random.Random(7)
    subjects = "the state|a gate|every head|the memory|one layer|the window".split("|")
    verbs = "keeps|forgets|reads|writes|weighs|carries".split("|")
    objects = "what came before|the last token|a longer context|its own sum|the first word|nothing at all".split("|")
    for i in range(60):
        lines = []
        for _ in range(30):
            subject = dice.randrange(6)
            verb = (subject + dice.randrange(2)) % 6
            lines.append(f"{subjects[subject]} {verbs[verb]} {objects[(subject + 2 * verb) % 6]}.\n")
        (folder / f"{i:02d}.txt").write_text("".join(lines))


def metrics(cell):
    path = STUDY / cell / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def steps_of(cell, name):
    return [line["step"] for line in metrics(cell) if name in line]


def cut_off(cell):
    """Starts the study and tells it to stop when `cell` is under way: it ends as told, with a checkpoint."""
    with open("first.txt", "w") as output:
        process = subprocess.Popen(COMMAND, stdout=output, stderr=subprocess.STDOUT)
        until = time.monotonic() + 200
        while len(steps_of(cell, "train_loss")) < 3:
            assert process.poll() is None and time.monotonic() < until, pathlib.Path("first.txt").read_text()
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, pathlib.Path("first.txt").read_text()
    assert json.loads((STUDY / cell / "run.json").read_text())["status"] != "finished"


def study(says):
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=200)
    text = done.stdout + done.stderr
    assert done.returncode == 0 and says in text, text
    return text


def check_cell(cell, record):
    """A run that came to its end: every step once, losses that fell, an artifact that is what run.json says."""
    assert record["status"] == "finished" and record["results"]["steps"] == STEPS, record
    assert steps_of(cell, "train_loss") == list(range(1, STEPS + 1)), steps_of(cell, "train_loss")
    losses = [line["train_loss"] for line in metrics(cell) if "train_loss" in line]
    scores = [line["val_bpb"] for line in metrics(cell) if "val_bpb" in line]
    assert steps_of(cell, "val_bpb") == [0, 8, 16, 24]
    assert losses[-1] < 0.6 * losses[0] and scores[3] < scores[2] < scores[1] < 0.8 * scores[0], (losses, scores)
    results = record["results"]
    assert abs(results["val_loss"] - results["pre_quant_loss"]) < 0.05, results
    packed = (STUDY / cell / "final_model.int8.ptz").read_bytes()
    assert len(packed) == results["artifact_bytes"]
    assert len(zlib.decompress(packed)) == results["raw_torch_bytes"]


def check_page(records):
    """The table has every cell with its own figures; the page has the same, and a curve of each model."""
    table = json.loads((STUDY / "table.json").read_text())
    groups = {(group["context"], group["model"]): group for group in table["groups"]}
    assert sorted(groups) == sorted((context, model) for context in CONTEXTS for model in MODELS), groups.keys()
    page, text = (STUDY / "index.html").read_text(), (STUDY / "table.md").read_text()
    for (context, model), group in groups.items():
        cell = f"{model}_{context}_seed1337"
        score = records[cell]["results"]["val_bpb"]
        assert abs(group["figures"]["bpb"]["ours"]["mean"] - score) < 1e-9, group
        assert f"{score:.4f}" in page and f"{score:.4f}" in text, (cell, score)
        assert cell in page
    assert len(table["comparisons"]) == 2
    assert "<svg" in page and not re.search(r"(src|href)=\"https?:", page), "curves, and nothing from the network"


READ_BACK = """
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local gamut = require "gamut"
local architectures, artifact, precision = require "golf.architectures", require "golf.artifact", require "golf.precision"
local read_log, settings = require "golf.read_log", require "golf.settings"
local json, system = require "gamut.native.json", require "gamut.native.system"
local config = require "gamut.native.config"

for _, folder in ipairs(arg) do
  local plain = config.load(os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/config.yaml",
    {files = {folder .. "/config.yaml"}}):plain()
  local results = json.decode(system.read_file(folder .. "/run.json")).results
  local tokenizer = gamut.tokenizer("sentencepiece", {model = plain.tokenizer})
  local plan = settings.resolve(plain)
  local set = gamut.data.shards(plain.data, {split = "val", vocab_size = tokenizer.vocab_size})
  for _, file in ipairs{"final_model.int8.ptz", "final_model.int8.safetensors"} do
    local facts = {vocab_size = tokenizer.vocab_size, precision = plain.precision}
    facts.d_model = require "golf.budget".fit(plain.model, facts).width
    local model = require "golf.model"(architectures.options(plain.model, facts))
    local autocast = precision.apply(model, plain.precision)
    artifact.load(model, folder .. "/" .. file)
    local score = gamut.eval.bits_per_byte{
      model = model, set = set, tokenizer = tokenizer, context = plain.context, batch = plan.val_batch,
      max_tokens = plain.val_tokens, autocast = autocast,
    }
    assert(score.loss == results.val_loss and score.bpb == results.val_bpb,
      ("%s/%s scores %.8f, not %.8f"):format(folder, file, score.loss, results.val_loss))
  end
  local runs = read_log.file(folder .. "/logs/" .. folder:match "[^/]+$" .. ".txt")
  assert(#runs == 1, #runs .. " runs in the log")
  local run = runs[1]
  assert(run.steps == results.steps and run.artifact_bytes == results.artifact_bytes, "the log's end")
  assert(math.abs(run.post_quant.bpb - results.val_bpb) < 1e-8, "the log's score")
  assert(#run.validation.step == 4 and #run.train.step == 11, #run.train.step .. " training lines")
end
"""


def check_second_call():
    """All is done: the same command writes no file of a run again."""
    def stamps():
        return {path: path.stat().st_mtime_ns for cell in CELLS + ["text", "probes"] for path in (STUDY / cell).rglob("*")
                if path.is_file() and path.name != ".lock"}
    before = stamps()
    output = study("4 of 4 cells finished")
    assert "step 1/" not in output and "Training a SentencePiece model" not in output, output
    assert stamps() == before


def main():
    write_texts(pathlib.Path("texts"))
    cut_off(CELLS[1])
    first = json.loads((STUDY / CELLS[0] / "run.json").read_text())
    output = study("4 of 4 cells finished")
    assert "Training a SentencePiece model" not in output, output
    records = {cell: json.loads((STUDY / cell / "run.json").read_text()) for cell in CELLS}
    assert records[CELLS[0]] == first, "what was finished was run again"
    assert records[CELLS[1]]["resumed"], "what was cut off began anew"
    for cell, record in records.items():
        check_cell(cell, record)
    check_page(records)
    pathlib.Path("read_back.lua").write_text(READ_BACK)
    subprocess.run([GAMUT, "exec", "read_back.lua", *(str(STUDY / cell) for cell in CELLS)], check=True, timeout=200)
    check_second_call()
    print("ok")


main()
