#!/usr/bin/env python3
"""Files go to Python's safetensors and back: each reads what the other wrote, byte for byte.

Needs `pip install safetensors numpy`; without them the test says so and is skipped."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check  # noqa: E402

try:
    import numpy
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}; pip install safetensors numpy to run it")
    raise SystemExit(77) from None

REWRITE = """
local gamut = require "gamut"
local tensors, metadata = gamut.safetensors.load(arg[1])
gamut.safetensors.save(arg[2], tensors, metadata)
"""

EVERY_DTYPE = """
local gamut = require "gamut"
local dtypes = {
  "bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "bfloat16",
  "float32", "float64", "complex64", "float8_e5m2", "float8_e4m3fn",
}
local tensors = {}
for i, dtype in ipairs(dtypes) do
  local values = gamut.arange(6):reshape{2, 3}
  tensors[i] = {dtype, (dtype == "bool" and values:remainder(2) or values):to(dtype)}
end
gamut.safetensors.save(arg[1], tensors, {format = "pt"})
"""

NAMES = {"bool": "BOOL", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
         "float8_e5m2": "F8_E5M2", "float8_e4m3fn": "F8_E4M3", **{f"int{b}": f"I{b}" for b in (8, 16, 32, 64)},
         **{f"uint{b}": f"U{b}" for b in (8, 16, 32, 64)}}


def execute(name, script, *arguments):
    path = pathlib.Path(f"{name}.lua")
    path.write_text(script)
    subprocess.run([os.environ["GAMUT"], "exec", path, *arguments], check=True)


def from_python():
    """What Python writes is read and written again to the same bytes, and holds the same values."""
    random = numpy.random.default_rng(7)
    kinds = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8"]
    tensors = {}
    for number in range(60):
        shape = random.integers(0, 5, size=random.integers(0, 5))
        kind = numpy.dtype(kinds[number % len(kinds)])
        raw = random.integers(0, 2 if kind == "?" else 256, int(numpy.prod(shape)) * kind.itemsize, dtype="u1")
        tensors[f"größe.{number}.weight"] = numpy.frombuffer(raw.tobytes(), kind).reshape(shape)
    safetensors.numpy.save_file(tensors, "python", metadata={"note": "naïve \"x\"\n"})
    execute("rewrite", REWRITE, "python", "gamut")
    python, gamut = pathlib.Path("python").read_bytes(), pathlib.Path("gamut").read_bytes()
    check(python == gamut, "a file of Python's is not written again as it was")
    for name, tensor in safetensors.numpy.load_file("gamut").items():
        check(tensor.tobytes() == tensors[name].tobytes(), f"{name} changed")


def to_python():
    """Every dtype that Gamut writes, Python finds under its name, with the right values."""
    execute("every_dtype", EVERY_DTYPE, "dtypes")
    found = dict(safetensors.deserialize(pathlib.Path("dtypes").read_bytes()))
    check(sorted(found) == sorted(NAMES), f"Python found {sorted(found)}")
    for name, tensor in found.items():
        check(tensor["dtype"] == NAMES[name] and tensor["shape"] == [2, 3], f"{name} became {tensor['dtype']} {tensor['shape']}")
        if name.startswith(("bfloat", "float8")):
            continue
        values = numpy.frombuffer(tensor["data"], numpy.dtype(name)).tolist()
        check(values == [i % 2 if name == "bool" else i for i in range(6)], f"{name} became {values}")
    # bfloat16 is the upper half of float32; of the 8-bit floats, 1 and 2 are enough.
    upper = numpy.frombuffer(found["bfloat16"]["data"], "u2").astype("u4") << 16
    check(upper.view("f4").tolist() == list(range(6)), "bfloat16 has other values")
    check(found["float8_e4m3fn"]["data"][1:3] == b"\x38\x40", "float8_e4m3fn has other values")
    check(found["float8_e5m2"]["data"][1:3] == b"\x3c\x40", "float8_e5m2 has other values")


from_python()
to_python()
print(f"safetensors {safetensors.__version__}: equal bytes in both directions")
