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


ENCODEC_VARIANTS = {
    "24khz": {},
    "48khz": dict(sampling_rate=48000, audio_channels=2, normalize=True, chunk_length_s=1.0, overlap=0.01,
                  norm_type="time_group_norm", use_causal_conv=False, target_bandwidths=[3.0, 6.0, 12.0, 24.0]),
}


@torch.no_grad()
def liven_encodec(model, audio, generator):
    """As liven_dac; codebooks are drawn around what the encoder gives for the audio, stage by stage."""
    for name, p in model.named_parameters():
        if "lstm" in name:
            p.copy_((2 * torch.rand(p.shape, generator=generator) - 1) * 1.2 / math.sqrt(model.decoder.layers[1].lstm.hidden_size))
        elif name.endswith("original0"):
            first, last = name.startswith("encoder.layers.0."), name.startswith("decoder.layers.15.")
            p.copy_((0.9 + 0.6 * torch.rand(p.shape, generator=generator)) * (2.5 if first else 0.03 if last else 1))
        elif name.endswith("original1"):
            p.copy_(torch.randn(p.shape, generator=generator))
        elif name.endswith("bias"):
            p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    left = model.encoder(audio)[0].T
    for i, layer in enumerate(model.quantizer.layers):
        book = 0.3 * left.std(0) * torch.randn(layer.codebook.embed.shape, generator=generator)
        layer.codebook.embed.copy_(book + left.mean(0) if i == 0 else book)
        left = left - layer.codebook.decode(layer.codebook.encode(left))


def encodec(variant, part, seconds, exchange_folder, bandwidth):
    from transformers import EncodecConfig, EncodecModel
    config = EncodecConfig(**ENCODEC_VARIANTS[variant])
    model = EncodecModel(config).eval()
    rate = config.sampling_rate
    audio = sound(rate, config.audio_channels, seconds)
    liven_encodec(model, audio[None, :, :rate], torch.Generator().manual_seed(1))
    with torch.inference_mode():
        coded = model.encode(audio[None], bandwidth=bandwidth)
    scales = [None if scale is None else torch.ones_like(scale) for scale in coded.audio_scales]

    def call():
        return model.decode(coded.audio_codes, scales, last_frame_pad_length=coded.last_frame_pad_length).audio_values

    decode = without_gradients(call)
    codes = torch.cat(list(coded.audio_codes[:, 0]), 1)
    codes = codes[:, :codes.shape[1] - coded.last_frame_pad_length]
    exchange(exchange_folder, model, rate, audio, codes, decode()[0])
    return decode if part == "decode" else without_gradients(lambda: model.encode(audio[None], bandwidth=bandwidth))


def case(make, *shared):
    """`shared`: options of our tokenizer that are arguments of `make` too."""
    def begin(**arguments):
        for name in shared:
            arguments[name] = float(arguments["option_" + name])
        arguments = {key: value for key, value in arguments.items() if not key.startswith("option_")}
        folder = arguments.pop("exchange")
        return make(exchange_folder=folder, seconds=float(arguments.pop("seconds")), **arguments)
    return begin


CASES = {"dac": case(dac), "encodec": case(encodec, "bandwidth")}
