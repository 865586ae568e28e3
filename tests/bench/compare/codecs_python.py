"""The codecs of transformers: models of full size with random weights that both sides use.

A case writes `exchange`/weights.safetensors, config.json, audio.safetensors and python.safetensors (its codes, and what
it decodes from them) when it begins."""
import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file


def sound(rate, channels, seconds):
    """Chirps, plucks and noise, [channels, samples]."""
    generator = torch.Generator().manual_seed(7)
    n = int(rate * seconds)
    t = torch.arange(n, dtype=torch.float64) / rate
    rows = []
    for channel in range(channels):
        low, high = 110.0 * (channel + 1), 2500.0
        x = 0.3 * torch.sin(2 * math.pi * (low * t + 0.5 * (high - low) / seconds * t * t))
        x += 0.3 * torch.exp(-(t % 0.13) / 0.03) * torch.sin(2 * math.pi * 440 * t)
        x += 0.05 * torch.randn(n, generator=generator, dtype=torch.float64)
        rows.append(x * (0.6 + 0.4 * torch.sin(2 * math.pi * 0.7 * t)))
    return torch.stack(rows).float()


def row_norms(weight, low, high, generator):
    """Scales each row, along the first axis, to a norm between `low` and `high`."""
    rows = weight.flatten(1)
    norms = low + (high - low) * torch.rand(rows.shape[0], 1, generator=generator)
    weight.copy_((rows / rows.norm(dim=1, keepdim=True) * norms).view_as(weight))


@torch.no_grad()
def liven_dac(model, generator):
    """Weights that keep the loudness of what they are given, so that codes differ from frame to frame."""
    for name, p in model.named_parameters():
        if name.endswith("alpha"):
            p.copy_(0.3 + 1.7 * torch.rand(p.shape, generator=generator))
            continue
        p.copy_(torch.randn(p.shape, generator=generator))
        if name.endswith("bias"):
            p.mul_(0.1)
        elif "codebook" not in name:
            low, high = 0.7, 1.3
            if name == "encoder.conv1.weight":
                low, high = 2.0, 4.0
            elif "res_unit" in name and "conv2" in name:
                low, high = 0.2, 0.5
            elif "out_proj" in name or name == "decoder.conv2.weight":
                low, high = 0.15, 0.3
            elif "conv_t1" in name:
                low, high = low * math.sqrt(p.shape[2] / 4), high * math.sqrt(p.shape[2] / 4)
            row_norms(p, low, high, generator)


DAC_VARIANTS = {
    "44khz": dict(sampling_rate=44100, n_codebooks=9, downsampling_ratios=[2, 4, 8, 8], upsampling_ratios=[8, 8, 4, 2]),
    "24khz": dict(sampling_rate=24000, n_codebooks=32, downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2]),
    "16khz": dict(sampling_rate=16000, n_codebooks=12, downsampling_ratios=[2, 4, 5, 8], upsampling_ratios=[8, 5, 4, 2]),
}


def exchange(folder, model, rate, audio, codes, decoded):
    """codes [codebooks, steps], audio and decoded [channels, samples]."""
    folder = Path(folder)
    save_file({name: p.detach().contiguous() for name, p in model.state_dict().items()},
              folder / "weights.safetensors")
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), default=str))
    save_file({"audio": audio, "rate": torch.tensor([rate])}, folder / "audio.safetensors")
    save_file({"codes": codes.contiguous(), "audio": decoded.contiguous()}, folder / "python.safetensors")


def without_gradients(call):
    def run():
        with torch.inference_mode():
            return call()
    return run


def dac(variant, part, seconds, exchange_folder):
    from transformers import DacConfig, DacModel
    config = DacConfig(**DAC_VARIANTS[variant])
    model = DacModel(config).eval()
    liven_dac(model, torch.Generator().manual_seed(1))
    rate, hop = config.sampling_rate, math.prod(config.downsampling_ratios)
    audio = sound(rate, 1, seconds)
    padded = torch.nn.functional.pad(audio, (0, -audio.shape[1] % hop))[None]
    with torch.inference_mode():
        codes = model.encode(padded).audio_codes
        decoded = model.decode(audio_codes=codes).audio_values
    exchange(exchange_folder, model, rate, audio, codes[0], decoded)
    encode = without_gradients(lambda: model.encode(padded))
    decode = without_gradients(lambda: model.decode(audio_codes=codes))
    return encode if part == "encode" else decode


def case(make):
    def begin(**arguments):
        arguments = {key: value for key, value in arguments.items() if not key.startswith("option_")}
        folder = arguments.pop("exchange")
        return make(exchange_folder=folder, seconds=float(arguments.pop("seconds")), **arguments)
    return begin


CASES = {"dac": case(dac)}
