#!/usr/bin/env python3
"""How runs end: by steps, by the clock, by the guard, by an error, as a dry run; and that a bad step is
skipped, recorded once, and gone on from exactly."""

import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check  # noqa: E402

GAMUT = os.environ["GAMUT"]
SCRIPT = """
local gamut = require "gamut"
local nn, optim, train = gamut.nn, gamut.optim, gamut.train
local config = train.config()
gamut.manual_seed(1)
local model = nn.Linear(4, 1)
local data = {fingerprint = "none", at = 0}
function data:state() return {at = self.at} end
function data:load_state(state) self.at = state.at end
function data:next() self.at = self.at + 1 return gamut.randn({8, 4}), self.at == config.bad_batch end
local run = train.start{
  model = model, optimizers = {optim.adamw{{params = model:named_parameters()}, lr = 0.01}}, data = data,
  steps = config.steps, seconds = config.seconds, tokens_per_step = 8, autocast = config.autocast,
  guard = {action = config.action, max_skips = 2},
}
local function measure() error "no such measure" end
for step in run:steps() do
  local loss = run:accumulate(1, function()
    local x, bad = data:next()
    local loss = model(x):pow(2):mean()
    return bad and loss * (0 / 0) or loss
  end)
  local norm = train.clip_grad_norm(model, 1.0)
  if run:healthy(loss, norm) then run:update() end
  run:log{train_loss = loss, grad_norm = norm}
  if config.sleep > 0 then os.execute("sleep " .. config.sleep) end
  if run:due(config.eval_every) then run:log{val_loss = 1.0} end
  if run:due(config.checkpoint_every) then run:checkpoint() end
  if step == config.fail_at then run:untimed(measure) end
end
run:finish()
"""
CONFIG = """
steps: !integer 6
seconds: !number null
action: skip
bad_batch: 0
fail_at: 0
sleep: 0.0
autocast: !string null
eval_every: 1000
checkpoint_every: 2
"""


def run(folder, *arguments):
    command = [GAMUT, "run", "study", "--run-dir", folder, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return result.returncode, result.stdout + result.stderr


def lines(folder):
    return [json.loads(line) for line in pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()]


def status(folder):
    return json.loads(pathlib.Path(folder, "run.json").read_text())["status"]


def weights(folder, step):
    return pathlib.Path(folder, "checkpoints", f"step_{step:06d}", "model.safetensors").read_bytes()


def by_steps():
    code, output = run("steps")
    check(code == 0 and status("steps") == "finished", output)
    check([l["step"] for l in lines("steps") if "val_loss" in l] == [6], "evaluation is not due at the last step only")


def by_the_clock():
    code, output = run("clock", "steps=null", "seconds=0.3", "sleep=0.05")
    check(code == 0 and status("clock") == "finished", output)
    found = lines("clock")
    last = found[-1]["step"]
    check(2 <= last <= 8, f"0.3 s in steps of 0.05 s were {last} steps")
    check([l["step"] for l in found if "val_loss" in l] == [last], "evaluation is not due at the last step only")
    elapsed = json.loads(pathlib.Path(f"clock/checkpoints/step_{last:06d}/state.json").read_text())["elapsed"]
    check(0.3 <= elapsed < 0.6, f"the checkpoint of the last step knows of {elapsed} s")
    code, output = run("clock", "--resume")
    check(code == 0 and lines("clock")[-1]["step"] == last, f"the budget was spent, and the run went on:\n{output}")


def autocast():
    code, output = run("autocast", "autocast=bfloat16")
    check(code == 0 and status("autocast") == "finished", output)
    exact, cast = (lines(folder)[0]["train_loss"] for folder in ("steps", "autocast"))
    check(exact != cast and abs(exact - cast) < 0.05 * exact, f"autocast turned a loss of {exact} into {cast}")


def refused():
    code, output = run("/proc/run")
    check(code == 1 and "cannot make the folder /proc/run" in output, output)
    code, output = run("steps")
    check(code == 1 and "already holds a run" in output, output)
    pathlib.Path("steps/run.json").rename("kept.json")
    code, output = run("steps")
    check(code == 1 and "already holds a run" in output, f"a run that lost its run.json was begun anew:\n{output}")
    pathlib.Path("kept.json").rename("steps/run.json")


def together():
    command = [GAMUT, "run", "study", "--run-dir", "together", "sleep=1.0", "checkpoint_every=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        deadline = time.monotonic() + 60
        while not pathlib.Path("together/checkpoints/step_000001").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        code, output = run("together", "--resume")
        first.kill()
    check(code == 1 and "another process is working in together" in output, output)
    code, output = run("together", "--resume", "--accept", "sleep", "sleep=0.0")
    check(code == 0, f"the lock of a killed run stays:\n{output}")


def skipping():
    code, output = run("skip", "bad_batch=3")
    check(code == 0 and "step 3 skipped" in output and "gradient of `weight`" in output, output)
    code, output = run("skip", "bad_batch=3", "--resume", "skip/checkpoints/step_000002")
    check(code == 0, output)
    events = [l for l in lines("skip") if l.get("event") == "skipped"]
    check([e["step"] for e in events] == [3], f"the skipped step stands there as {events}")
    check(weights("skip", 6) == (pathlib.Path("skip/checkpoints/step_000006.superseded-1") / "model.safetensors").read_bytes(),
          "going on over a skipped step ends elsewhere")
    rates = [l["lr"] for l in lines("skip") if "lr" in l]
    check(len(rates) == 6, f"{len(rates)} steps have a rate")


def stopping():
    code, output = run("stop", "bad_batch=3", "action=stop")
    check(code == 1 and "after 1 bad step in a row" in output and status("stop") == "stopped", output)
    check(pathlib.Path("stop/checkpoints/step_000003").is_dir(), "the guard left no checkpoint")


def failing():
    code, output = run("fail", "fail_at=3")
    check(code == 1 and "no such measure" in output, output)
    check(status("fail") == "failed" and pathlib.Path("fail/report.html").exists(), "the folder does not tell of the error")
    events = [l["message"] for l in lines("fail") if l.get("event") == "failed"]
    check(len(events) == 1 and "no such measure" in events[0], f"the error stands in the metrics as {events}")
    code, again = run("fail", "--resume", "--accept", "fail_at", "fail_at=0")
    check(code == 0 and status("fail") == "finished", again)
    check("study/train.lua:16" in output and "study/train.lua:29" in output, f"the call chain is cut:\n{output}")


def dry():
    for arguments in ([], ["steps=1"], ["bad_batch=1"], ["bad_batch=1", "action=stop"]):
        code, output = run("dry", "--dry-run", *arguments)
        check(code == (1 if "action=stop" in arguments else 0), f"{arguments}: {output}")
        check(("tokens/s" in output) == (code == 0), f"{arguments}: {output}")
        check(("step 1 skipped" in output) == ("bad_batch=1" in arguments), f"{arguments}: {output}")
        check("attempt to" not in output and not pathlib.Path("dry").exists(), f"{arguments}: {output}")


def main():
    pathlib.Path("study").mkdir()
    pathlib.Path("study/train.lua").write_text(SCRIPT)
    pathlib.Path("study/config.yaml").write_text(CONFIG)
    for test in (by_steps, by_the_clock, autocast, refused, together, skipping, stopping, failing, dry):
        test()
        print(f"ok: {test.__name__}", flush=True)


main()
