#!/usr/bin/env python3
"""Flash-linear-attention's Triton kernels at the shapes of `gamut bench kernels`, timed in the same way.

    fla.py KERNELS.json OUT.json

Needs the packages torch and fla. Inputs rotate among copies that together exceed the caches, times are those of CUDA
events behind a head start of copies, figures are medians."""

import json
import statistics
import sys

import torch

ROTATION = 256 << 20  # bytes
CALLS, SERIES = 30, 10
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def inputs(shape, dtype):
    B, T, H, K, V = (shape[name] for name in "BTHKV")
    HV = shape.get("HV", H)

    def unit(*sizes):
        return torch.nn.functional.normalize(torch.randn(sizes, device="cuda"), dim=-1).to(dtype)

    made = [unit(B, T, H, K), unit(B, T, H, K), torch.randn(B, T, HV, V, device="cuda").to(dtype),
            -1.6 * torch.rand(B, T, HV, device="cuda"), 2 * torch.rand(B, T, HV, device="cuda")]
    bytes_of_set = sum(x.numel() * x.element_size() for x in made)
    sets = [made] + [[x.clone() for x in made] for _ in range(min(63, ROTATION // bytes_of_set))]
    return [[x.requires_grad_() for x in one] for one in sets]


def marks(count):
    return [torch.cuda.Event(enable_timing=True) for _ in range(count)]


def timed(call, parts):
    """Medians in milliseconds of the parts of a call; call(i, events) records parts + 1 events."""
    busy = torch.zeros(1 << 27, dtype=torch.uint8, device="cuda")
    for i in range(3):
        call(i, marks(parts + 1))
    torch.cuda.synchronize()
    events = []
    while len(events) < CALLS:
        for _ in range(200):
            busy.clone()
        for _ in range(SERIES):
            events.append(marks(parts + 1))
            call(len(events), events[-1])
        torch.cuda.synchronize()
    return [statistics.median(e[i].elapsed_time(e[i + 1]) for e in events) for i in range(parts)]


def time_shape(rule, shape, dtype):
    sets = inputs(shape, dtype)
    gradient = torch.randn_like(sets[0][2])

    def forward(i, events):
        with torch.no_grad():
            events[0].record()
            rule(*sets[i % len(sets)])
            events[1].record()

    def training(i, events):
        one = sets[i % len(sets)]
        events[0].record()
        output = rule(*one)[0]
        events[1].record()
        torch.autograd.grad(output, one, gradient)
        events[2].record()

    (alone,), (kept, backward) = timed(forward, 1), timed(training, 2)
    return {"forward_ms": alone, "training_ms": kept + backward, "backward_ms": backward}


def main():
    import fla
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    asked = json.load(open(sys.argv[1]))
    results = []
    for case in asked["results"]:
        if case["operator"] != "gated_delta_rule" or case["shape"]["T"] == 1:
            continue  # one step is another kernel's
        entry = {"label": case["label"], "shape": case["shape"], "title": case["title"]}
        try:
            entry.update(time_shape(chunk_gated_delta_rule, case["shape"], DTYPES[asked["dtype"]]))
            figures = "forward {forward_ms:.4f} ms, backward {backward_ms:.4f} ms".format(**entry)
            print(f"{entry['label']} {entry['title']}: {figures}", flush=True)
        except Exception as error:  # a shape that it does not take, or a compiler that fails, is a finding
            entry["failure"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            print(f"{entry['label']} {entry['title']}: {entry['failure']}", flush=True)
        results.append(entry)
        torch.cuda.empty_cache()
    versions = {"fla": getattr(fla, "__version__", "?"), "torch": torch.__version__}
    json.dump({"versions": versions, "results": results}, open(sys.argv[2], "w"), indent=1)


main()
