"""Writes quantized.int8.ptz: a state dict with odd rows as the study quantises, packs and compresses it.

Written from the description of the format, with torch's quantile and nothing of Gamut's; tests/lua/golf_artifact_test.lua
makes the same state dict by the same arithmetic. Made with torch 2.11.0:
    python make_quantized.py .
"""
import io
import pathlib
import sys
import zlib

import torch

CONTROL = "attn_scale attn_scales mlp_scale mlp_scales resid_mix resid_mixes q_gain skip_weight skip_weights".split()


def spread(count, step):
    """Multiples of 2^-12 in -1 .. 1, exact in float32; the first 8 bits of each are exact in bfloat16."""
    return ((torch.arange(count) * step) % 8191 - 4095).float() / 4096


def odd_rows():
    rows = torch.zeros(257, 256)
    column = torch.arange(256)
    rows[1] = spread(256, 37)  # below 1: the step of 1/127
    rows[2] = spread(256, 101) * 4  # above 1
    rows[3] = (column.float() - 127.5).clamp(-126.5, 126.5) / 127  # halves of the step of 1/127, about
    rows[4] = ((column.float() - 127.5) * 2).clamp(-254, 254)  # halves of a step of 2, exactly: to even
    rows[4, 1] = 254
    rows[5, 7] = -300.0  # one that sticks out: the quantile clips it
    rows[6] = -2.5
    rows[7] = 1.0
    rows[8] = 1e-42  # below float32's normal numbers
    rows[9, ::2], rows[9, 1::2] = 8e6, -8e6  # the scale is near the largest of float16
    rows[10, 0] = 127.0
    rows[11] = spread(256, 53) * 1e-3
    rows[12, :2] = torch.tensor([3.0, -2.0])
    return rows


def state_dict():
    embedding = torch.zeros(300, 256)
    embedding[0], embedding[299] = spread(256, 17), spread(256, 29) * 3
    cube = torch.zeros(17, 64, 64)
    cube[3] = spread(4096, 11).view(64, 64) * 2
    return {
        "skip_weights": spread(8, 5).view(2, 4),
        "tok_emb.weight": embedding.bfloat16(),
        "blocks.0.attn_scale": spread(4, 3).bfloat16(),
        "blocks.0.attn.q_gain": torch.tensor([1.5, 1 / 3]),
        "blocks.0.attn.c_q.weight": odd_rows(),
        "blocks.0.attn.c_v.weight": torch.full((256, 256), 1 / 3),  # 65,536 numbers: still kept as floats
        "blocks.0.small.weight": spread(6, 7).view(2, 3) / 3,
        "blocks.0.small.bias": (spread(3, 9) / 3).bfloat16(),
        "blocks.0.small.half": (spread(3, 13) / 3).half(),
        "blocks.0.small.double": spread(3, 15).double() / 3,
        "blocks.0.cube": cube,
        "blocks.0.empty_cube": torch.zeros(65537),
        "blocks.0.steps": torch.tensor([3, -(2**40)]),
    }


def quantize(tensor):
    x = tensor.float()
    if x.ndim == 2:
        clip = torch.quantile(x.abs(), 0.9999984, dim=1)
        scale = (clip / 127).clamp_min(1 / 127)
        clipped = torch.maximum(torch.minimum(x, clip[:, None]), -clip[:, None])
        return torch.clamp(torch.round(clipped / scale[:, None]), -127, 127).to(torch.int8), scale.half()
    clip = torch.quantile(x.abs().flatten(), 0.9999984).item()
    scale = torch.tensor(clip / 127 if clip > 0 else 1.0)
    return torch.clamp(torch.round(torch.clamp(x, -clip, clip) / scale), -127, 127).to(torch.int8), scale


def dtype_of(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def pack(state):
    packed = {"__quant_format__": "int8_clean_per_row_v1", "quantized": {}, "scales": {}, "dtypes": {}, "passthrough": {}}
    meta, original = {}, {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            packed["passthrough"][name] = tensor
        elif tensor.numel() <= 65536:
            if any(part in name for part in CONTROL):
                tensor = tensor.float()
            elif tensor.dtype in (torch.float32, torch.bfloat16):
                original[name] = dtype_of(tensor)
                tensor = tensor.half()
            packed["passthrough"][name] = tensor
        else:
            integers, scale = quantize(tensor)
            if scale.ndim > 0:
                meta[name] = {"scheme": "per_row", "axis": 0}
            packed["quantized"][name], packed["scales"][name] = integers.contiguous(), scale
            packed["dtypes"][name] = dtype_of(tensor)
    if meta:
        packed["qmeta"] = meta
    if original:
        packed["passthrough_orig_dtypes"] = original
    return packed


if __name__ == "__main__":
    raw = io.BytesIO()
    torch.save(pack(state_dict()), raw)
    pathlib.Path(sys.argv[1], "quantized.int8.ptz").write_bytes(zlib.compress(raw.getvalue(), 9))
