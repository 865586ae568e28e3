"""Writes the checkpoints of this folder, each as a user's Python writes one, and what is in them.

Made with torch 2.11.0, numpy 2.4.6, safetensors 0.8.0:
    python make_files.py .
"""
import collections
import math
import pathlib
import sys

import numpy
import torch
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1])
torch.manual_seed(1)


def write(name, value, **options):
    torch.save(value, out / name, **options)


# Every dtype that is read; views of one storage; a transposed, a sliced, an expanded, an empty and a
# zero-dimensional tensor; a parameter.
shared = torch.arange(24.0)
state = collections.OrderedDict(
    float32=torch.randn(3, 2),
    float16=torch.randn(3).half(),
    bfloat16=torch.randn(3).bfloat16(),
    float64=torch.randn(2).double(),
    int64=torch.tensor([-1, 2**40]),
    int32=torch.tensor([-5, 7], dtype=torch.int32),
    int16=torch.tensor([-300], dtype=torch.int16),
    int8=torch.tensor([-128, 127], dtype=torch.int8),
    uint8=torch.tensor([0, 255], dtype=torch.uint8),
    bool=torch.tensor([True, False, True]),
    first_half=shared[:12],
    whole=shared,
    every_second=shared[1::2],
    transposed=shared.view(4, 6).t(),
    expanded=torch.tensor([[1.5], [2.5]]).expand(2, 3),
    empty=torch.empty(0, 4),
    scalar=torch.tensor(3.25),
    parameter=torch.nn.Parameter(torch.ones(2)),
)
metadata = {
    "kwargs": {"rates": [2, 4], "name": "t\u00fcr", "latent": None, "dropout": False, "scale": 0.5},
    "note": "plain",
}
plain = {
    "epoch": 7,
    "big": 2**40,
    "negative": -(2**40),
    "size": torch.Size([2, 3]),
    "tuple": (1, (2.5, "x"), True),
    "not_numbers": [math.nan, math.inf, -math.inf],
    "by_number": {1: "one"},
}
optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
write("variants.pt", {"state_dict": state, "metadata": metadata, "optimizer": optimizer, **plain})
save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, out / "variants.safetensors")

one = {"weight": torch.ones(2)}
module = torch.nn.Linear(2, 2)
write("two_models.pt", {"generator": one, "discriminator": {**one}, "steps": 3})
write("nested.pt", {"best_state": {"model": one, "score": 0.5}, "xp": {"cfg": "lr: 1"}})
write("legacy.pt", one, _use_new_zipfile_serialization=False)
write("protocol4.pt", one, pickle_protocol=4)
write("module.pt", module)
write("numpy_scalar.pt", {**one, "score": numpy.float64(0.5)})


# Every kind of value that is written here, at the borders where the pickler does something else. The Lua twin of it
# is in tests/lua/torch_file_test.lua and must give these bytes.
def fresh(text):  # an equal text, but another object
    return "".join(list(text))


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.inner = torch.nn.Linear(2, 1, bias=False)
        torch.nn.init.constant_(self.inner.weight, 0.5)


twice = [1]
kinds = {
    "integers": [0, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -1, -(2**31), -(2**31) - 1, 2**39 - 1, 2**39, 2**63 - 1, -(2**63)],
    "numbers": [0.0, -0.0, 1.5, 1e300, math.inf],
    "plain": [None, True, False, "", "x", "t\u00fcr \u65e5\u672c"],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "lists": [[], [7], list(range(1000)), list(range(1001))],
    "dicts": [{}, {"one": 1}, {i: None for i in range(999)}, {i: None for i in range(1000)}, {i: None for i in range(1001)}],
    "ordered": [collections.OrderedDict((i, None) for i in range(n)) for n in (0, 1, 2, 1000, 1001, 1002)],
    "keys": {1: "int", True + 1: "two", "name": False, False: 0},
    "shared": [twice, twice],
    "literals": ["per_row", "per_row", "storage", "cpu", "version"],
    "fresh": [fresh("float32"), fresh("float32"), "float32"],
    "dtypes": [state[name] for name in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")],
    "views": [state[name] for name in ("first_half", "whole", "every_second", "transposed", "expanded", "empty", "scalar", "whole")],
    "four": torch.zeros(1, 2, 1, 2),
    "grad": torch.ones(1, requires_grad=True),
    "state_dict": Tiny().state_dict(),
}
write("kinds.pt", kinds)
# Twelve storages, and texts that equal the keys of two.
write("keys.pt", {"0": [torch.full((1,), float(i)) for i in range(12)], "10": 11})

cycle = [1]
cycle.append(cycle)
write("cycle.pt", cycle)
sys.setrecursionlimit(5000)
deep = []
for _ in range(1500):
    deep = [deep]
write("deep.pt", deep)
write("tuple_key.pt", {(1, 2): 3})
write("bytes.pt", {**one, "blob": b"bytes"})
write("complex.pt", {"weight": torch.ones(2, dtype=torch.complex64)})
write("uint16.pt", {"weight": torch.ones(2, dtype=torch.uint16)})
write("sparse.pt", {"weight": torch.eye(2).to_sparse()})
write("tensor.pt", torch.ones(2))
torch.jit.save(torch.jit.script(module), out / "script.pt")
torch.serialization.set_crc32_options(False)
write("no_checksums.pt", one)
