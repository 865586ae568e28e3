# TensorBoard's own loader reads the event files: scalars, text, histograms, and what a resumed run
# leaves. GAMUT_TENSORBOARD_PYTHON may name a Python that has tensorboard.
import os
import subprocess
import sys

try:
    from tensorboard.backend.event_processing import event_accumulator
except ImportError:
    other = os.environ.get("GAMUT_TENSORBOARD_PYTHON")
    if other and other != sys.executable:
        os.execv(other, [other] + sys.argv)
    print("skipped: this Python has no tensorboard; name one that has in GAMUT_TENSORBOARD_PYTHON")
    sys.exit(77)

SCRIPT = """
local gamut = require "gamut"
local telemetry = require "gamut.native.telemetry"
local events = telemetry.events "."
for step = 1, 60 do events:scalar("train_loss", step, 1 / step) end
events:text("sample", 40, "# A **sample** ü\\xff\\0.")
events:histogram("weights", 40, gamut.tensor{-1.0, 0.0, 0.25, 0.25, 2.0})
local resumed = telemetry.events(".", {resume_step = 40})
for step = 41, 50 do resumed:scalar("train_loss", step, 100 + step) end
"""


def close(a, b):
    return abs(a - b) <= 1e-6 * max(1, abs(b))


with open("events.lua", "w") as file:
    file.write(SCRIPT)
subprocess.run([os.environ["GAMUT"], "exec", "events.lua"], check=True)

loaded = event_accumulator.EventAccumulator(".", size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
loaded.Reload()
tags = loaded.Tags()
assert "sample" in tags["tensors"] and "weights" in tags["histograms"], tags

losses = {event.step: event.value for event in loaded.Scalars("train_loss")}
assert sorted(losses) == list(range(1, 51)), sorted(losses)
assert all(close(losses[step], 1 / step) for step in range(1, 41)), losses
assert all(close(losses[step], 100 + step) for step in range(41, 51)), losses

text = loaded.Tensors("sample")[0]
assert text.step == 40
assert text.tensor_proto.string_val[0].decode() == "# A **sample** ü\N{REPLACEMENT CHARACTER} ."
metadata = loaded.SummaryMetadata("sample")
assert metadata.plugin_data.plugin_name == "text", metadata

histogram = loaded.Histograms("weights")[0].histogram_value
assert (histogram.min, histogram.max, histogram.num) == (-1.0, 2.0, 5.0), histogram
assert sum(histogram.bucket) == 5.0 and len(histogram.bucket) == len(histogram.bucket_limit)
print("TensorBoard reads scalars, text, histograms and a resumed run")
