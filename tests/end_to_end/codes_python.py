#!/usr/bin/env python3
"""A codes shard in Python: the three lines of core/data/README.md, taken from there, give the codes.

Needs `pip install safetensors numpy`; without them the test says so and is skipped."""

import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from common import check  # noqa: E402

try:
    import numpy
    import safetensors
except ImportError as missing:
    print(f"skipped: {missing}; pip install safetensors numpy to run it")
    raise SystemExit(77) from None

WRITE = """
local gamut = require "gamut"
local writer = gamut.data.code_writer{
  folder = ".", split = "train", sample_rate = 24000, hop_length = 320, codebooks = 4, vocab_size = 1024,
  tokenizer = {name = "encodec", version = "1.0.0", options = {}, identity = {weights_sha256 = "abc"}},
}
for item = 0, 9 do
  local codes = gamut.arange(4 * (item + 3)):reshape{4, item + 3} + item * 90
  writer:append(codes, {name = "clip" .. item, text = "Grüße, Nr. " .. item})
end
writer:finish()
"""


def three_lines():
    text = (pathlib.Path(os.environ["GAMUT_SOURCE"]) / "core/data/README.md").read_text()
    found = re.search(r"((?:    .*\n)*    from safetensors\.numpy import load_file\n(?:    .*\n)*)", text)
    check(found, "core/data/README.md has no lines that import load_file")
    lines = [line.strip() for line in found[1].splitlines()]
    check(len(lines) == 3, f"core/data/README.md has {len(lines)} lines for Python, not 3")
    return "\n".join(lines)


pathlib.Path("write.lua").write_text(WRITE)
subprocess.run([os.environ["GAMUT"], "exec", "write.lua"], check=True)
names = {}
exec(three_lines(), names)
expected = numpy.arange(4 * 10).reshape(4, 10).T + 7 * 90
check(names["codes"].dtype == numpy.uint16, f"the codes are {names['codes'].dtype}")
check(numpy.array_equal(names["codes"], expected), f"item 7 is {names['codes']}")
items = [json.loads(line) for line in names["shard"]["items"].tobytes().splitlines()]
check([item["name"] for item in items] == [f"clip{i}" for i in range(10)], f"the items are {items}")
check(items[7]["text"] == "Grüße, Nr. 7", f"item 7 says {items[7]['text']}")

with safetensors.safe_open("train_000000.safetensors", "numpy") as shard:
    metadata = shard.metadata()
check(metadata["format"] == "gamut.codes/1" and metadata["codebooks"] == "4", f"the metadata is {metadata}")
check(json.loads(metadata["tokenizer"])["identity"] == {"weights_sha256": "abc"}, metadata["tokenizer"])
print(f"safetensors {safetensors.__version__}: the codes, names and texts of a shard")
