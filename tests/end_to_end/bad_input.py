#!/usr/bin/env python3
"""What a user gets wrong is told in one clear sentence with its place, and ends with a non-zero status."""

import os
import pathlib
import subprocess
import sys

GAMUT = os.environ["GAMUT"]
QUICKSTART = pathlib.Path(os.environ["GAMUT_SOURCE"]) / "experiments" / "quickstart"
failures = 0


def gamut(*arguments):
    done = subprocess.run([GAMUT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, errors="replace", timeout=120)
    return done.returncode, done.stdout, done.stderr


def expect(what, arguments, *parts, status=None):
    """The call fails, says each of `parts`, and shows no C++ stack."""
    global failures
    code, _, error = gamut(*arguments)
    missing = [part for part in parts if part not in error]
    if code <= 0 or (status and code != status) or missing or "frame #" in error or "libtorch" in error:
        failures += 1
        print(f"FAILED: {what}: exit {code}, not said: {missing}\n{error}")
    else:
        print(f"ok: {what}: {error.splitlines()[0]}")


def script(name, text, config=None):
    folder = pathlib.Path(name)
    folder.mkdir(exist_ok=True)
    (folder / "train.lua").write_text(text)
    if config is not None:
        (folder / "config.yaml").write_text(config)
    return folder


USE = 'local gamut = require "gamut"\nlocal train, nn = gamut.train, gamut.nn\n'

# The script itself.
expect("a missing script", ["run", "no/such/script.lua"], "no/such/script.lua")
pathlib.Path("empty").mkdir()
expect("a folder without train.lua", ["run", "empty"], "holds no train.lua")
expect("a syntax error", ["run", script("syntax", "local x = = 1\n")], "syntax/train.lua:1:", "near '='")
deep = script("deep", USE + """
local function inner(x) return x.weight.shape end
local function outer()
  local shape = inner(nil)
  return shape
end
gamut.scope(function() outer() end)
""")
expect("an error deep in a callback", ["run", deep], "deep/train.lua:4:", "deep/train.lua:6:", "deep/train.lua:9:")
shapes = script("shapes", USE + "local x = gamut.zeros({2, 3})\nprint(x:matmul(gamut.zeros({4, 5})))\n")
expect("wrong shapes in an operator", ["run", shapes], "shapes/train.lua:4:", "2x3 and 4x5")
argument = script("argument", USE + "gamut.softmax(gamut.zeros({2}), {dims = 0})\n")
expect("a wrong argument name", ["run", argument], "argument/train.lua:3:", "dim")
operator = script("operator", USE + "gamut.sotfmax(gamut.zeros({2}), 0)\n")
expect("an unknown operator", ["run", operator], "did you mean `softmax`")

# Plugins.
unknown = script("unknown", USE + 'nn.mixer("gnd", {d_model = 32})\n')
expect("an unknown plugin", ["run", unknown], "unknown/train.lua:3", "gnd", "gdn")
misspelt = script("misspelt", USE + 'nn.mixer("gdn", {d_model = 32, n_head = 2})\n')
expect("an unknown option", ["run", misspelt], "n_head", "did you mean `n_heads`")
ranged = script("ranged", USE + 'nn.mixer("gdn", {d_model = 32, n_heads = -2})\n')
expect("an option out of range", ["run", ranged], "n_heads", "-2")

# Configuration.
expect("an unknown key", ["run", QUICKSTART, "step=3"], "step", "steps", status=3)
expect("a wrong type", ["run", QUICKSTART, "steps=many"], "steps", "many", "integer", status=3)
expect("a value that is no assignment", ["run", QUICKSTART, "steps"], "key=value", status=2)
unused = script("unused", USE + "local c = train.config()\ntrain.start{model = {}, optimizers = {}, data = {}, steps = c.steps, tokens_per_step = 1}\n",
                "steps: 3\nlerning_rate: 0.1\n")
expect("a key that the script does not use", ["run", unused], "unused/config.yaml:2", "`lerning_rate` is not used", status=3)
broken = script("broken", USE + "train.config()\n", "a: [1, 2\nb: 3\n")
expect("broken YAML", ["run", broken], "config.yaml:", status=3)
extra = pathlib.Path("extra.yaml")
extra.write_text("seed: 2\nlearning_rat: 3\n")
expect("an unknown key in a file", ["run", QUICKSTART, "--config", extra], "extra.yaml:2", "learning_rat", status=3)
unread = script("unread", USE + "local c = train.config()\nprint(c.lr)\nprint(c.stepz)\n", "lr: 0.1\nsteps: 3\n")
expect("a key that is not there", ["run", unread], "stepz", "steps", "unread/train.lua:5")
expect("training under exec", ["exec", QUICKSTART / "train.lua"], "gamut run")

# Data.
expect("data that is not there", ["run", QUICKSTART, "data=/no/such/text", "--dry-run"], "/no/such/text")
pathlib.Path("binary").mkdir()
pathlib.Path("binary/noise.bin").write_bytes(bytes(range(256)) * 64)
expect("a folder without text", ["run", QUICKSTART, "data=binary", "--dry-run"], "binary")

# Runs to resume.
expect("nothing to resume", ["run", QUICKSTART, "--resume"], "no run of quickstart")
expect("a resume of something else", ["run", QUICKSTART, "--resume", "empty"], "not a run folder")
expect("a resume of nothing", ["run", QUICKSTART, "--resume", "nowhere"], "nowhere")

sys.exit(1 if failures else 0)
