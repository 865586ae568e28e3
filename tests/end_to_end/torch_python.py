#!/usr/bin/env python3
"""Files of torch.save and the artifact of the golf study go to Python and back: each side reads what the other wrote,
and for equal values both write equal bytes.

Needs `pip install torch numpy`; without them the test says so and is skipped."""

import collections
import io
import os
import pathlib
import random
import subprocess
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check  # noqa: E402

try:
    import numpy  # noqa: F401, torch warns without it
    import torch
except ImportError as missing:
    print(f"skipped: {missing}; pip install torch numpy to run it")
    raise SystemExit(77) from None

source = pathlib.Path(os.environ["GAMUT_SOURCE"])
sys.path.insert(0, str(source / "tests/data/golf"))
import make_quantized  # noqa: E402

REWRITE = """
local torch_file, system = require("gamut").torch_file, require "gamut.native.system"
for i = 1, #arg, 2 do
  torch_file.save(arg[i + 1], torch_file.load(arg[i]))
  local bytes = torch_file.encode(torch_file.decode(system.read_file(arg[i])))
  system.write_file(arg[i + 1] .. ".bytes", bytes)
end
"""

ARTIFACT = """
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local gamut = require "gamut"
local artifact = require "golf.artifact"
local function model(seed)
  gamut.manual_seed(seed)
  local shape = { layers = { "gdn", "attention" }, d_model = 192, n_heads = 4, n_kv_heads = 2 }
  local made = require "golf.model"(require("golf.architectures").options(shape, { vocab_size = 512 }))
  require("golf.precision").apply(made, "bfloat16")
  return made
end
if arg[1] == "write" then
  artifact.write(model(1), "ours")
else
  local reader = model(2)
  artifact.load(reader, arg[2])
  artifact.save_model(reader, "reread.pt")
end
"""


def execute(name, script, *arguments):
    path = pathlib.Path(f"{name}.lua")
    path.write_text(script)
    subprocess.run([os.environ["GAMUT"], "exec", path, *map(str, arguments)], check=True)


class Values:
    """Random nested values. No two texts are equal but not the same object, which no reader could tell."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.texts = [f"text {i} \u00fc" for i in range(300)]
        self.shared = []
        torch.manual_seed(seed)

    def value(self, depth=0):
        kinds = [self.number, self.number, self.text, self.tensor, lambda _: None]
        if depth < 5:
            kinds += [self.list, self.tuple, self.dict, self.dict, self.ordered, self.again]
        return self.random.choice(kinds)(depth)

    def many(self, depth):
        return [self.value(depth + 1) for _ in range(self.random.choice([0, 1, 2, 5]))]

    def number(self, _):
        bits = self.random.randrange(64)
        return self.random.choice([self.random.getrandbits(bits) - (1 << bits >> 1), self.random.random(), True, False])

    def text(self, _):
        return self.random.choice(self.texts)

    def tensor(self, _):
        dtype = self.random.choice([torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool])
        shape = [self.random.randrange(4) for _ in range(self.random.randrange(5))]
        made = (torch.rand(shape) * 9).to(dtype)
        return self.random.choice([made, made.transpose(0, -1) if made.ndim else made, made[..., :1] if made.ndim else made])

    def list(self, depth):
        self.shared.append(self.many(depth))
        return self.shared[-1]

    def tuple(self, depth):
        return tuple(self.many(depth))

    def dict(self, depth):
        keys = self.random.sample(self.texts + list(range(5)), 5)
        return dict(zip(keys, self.many(depth)))

    def ordered(self, depth):
        return collections.OrderedDict(self.dict(depth))

    def again(self, depth):
        return self.random.choice(self.shared) if self.shared else self.list(depth)


def random_values():
    """What Python saves is read and saved again to the same bytes."""
    pairs = []
    for seed in range(40):
        name = f"v{seed}"
        pathlib.Path(f"in{seed}").mkdir()
        pathlib.Path(f"out{seed}").mkdir()
        values = Values(seed)
        torch.save([values.value() for _ in range(12)], f"in{seed}/{name}.pt")
        pairs += [f"in{seed}/{name}.pt", f"out{seed}/{name}.pt"]
    execute("rewrite", REWRITE, *pairs)
    for given, written in zip(pairs[::2], pairs[1::2]):
        python, gamut = pathlib.Path(given).read_bytes(), pathlib.Path(written).read_bytes()
        check(python == gamut, f"{given} is not written again as it was")
        buffer = io.BytesIO()
        torch.save(torch.load(given, weights_only=True), buffer)
        in_memory = pathlib.Path(written + ".bytes").read_bytes()
        check(buffer.getvalue() == in_memory, f"{given} has other bytes in memory")


def dequantized(packed):
    state = {}
    for name, integers in packed["quantized"].items():
        scale = packed["scales"][name].float()
        state[name] = (integers.float() * scale[:, None]).to(getattr(torch, packed["dtypes"][name]))
    for name, tensor in packed["passthrough"].items():
        state[name] = tensor.to(getattr(torch, packed["passthrough_orig_dtypes"].get(name, str(tensor.dtype)[6:])))
    return state


def unpacked(path):
    raw = zlib.decompress(pathlib.Path(path).read_bytes())
    return raw, torch.load(io.BytesIO(raw), weights_only=True)


def artifact():
    """Ours is what Python makes of the same weights, to the byte; theirs gives the weights that Python makes of it."""
    execute("artifact", ARTIFACT, "write")
    weights = torch.load("ours/final_model.pt", weights_only=True)
    check(weights._metadata["blocks.1.mixer.rotary"] == {"version": 1}, "the versions of modules are missing")
    raw, packed = unpacked("ours/final_model.int8.ptz")
    expected = io.BytesIO()
    torch.save(make_quantized.pack(weights), expected)
    check(raw == expected.getvalue(), "the artifact differs from what Python makes of the same weights")

    generator = torch.Generator().manual_seed(3)
    moved = {name: t + torch.randn(t.shape, generator=generator).to(t.dtype) * 0.3 for name, t in weights.items()}
    buffer = io.BytesIO()
    torch.save(make_quantized.pack(moved), buffer)
    pathlib.Path("theirs.int8.ptz").write_bytes(zlib.compress(buffer.getvalue(), 9))
    execute("artifact", ARTIFACT, "read", "theirs.int8.ptz")
    reread = torch.load("reread.pt", weights_only=True)
    expected = dequantized(unpacked("theirs.int8.ptz")[1])
    check(reread.keys() == expected.keys(), "other names")
    for name, tensor in expected.items():
        check(reread[name].dtype == tensor.dtype and torch.equal(reread[name], tensor), f"{name} has other values")


random_values()
artifact()
print(f"torch {torch.__version__}: equal bytes in both directions")
