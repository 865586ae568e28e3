"""Small models of EnCodec's other two forms, and what the reference packages give for them.

    python make_encodec_variants.py OUT

writes encodec_48khz.safetensors (stereo, GroupNorm, segments; weights by the authors' names),
encodec_48khz_io.safetensors, encodec_48khz.ecdc (by the authors' compress) and
encodec_32khz.safetensors with encodec_32khz_config.json and encodec_32khz_io.safetensors (MusicGen's
form, inside a larger model). Random weights; CPU, one thread. Needs torch 2.11.0,
transformers 5.23.0, encodec 0.1.1, safetensors.
"""
import io
import json
import os
import sys

import torch
from encodec import modules, quantization
from encodec.compress import compress_to_file
from encodec.model import EncodecModel as Authors
from safetensors.torch import save_file
from transformers import EncodecConfig, EncodecModel

torch.set_num_threads(1)
torch.set_grad_enabled(False)
SAMPLES = 49900   # at 48 kHz: two segments, 48000 and 2380


def signal(rate, samples, channels, seed):
    gen = torch.Generator().manual_seed(seed)
    t = torch.arange(samples) / rate
    x = torch.zeros(channels, samples)
    for c in range(channels):
        for f in (110.0, 447.0, 1800.0):
            phase, swell = torch.rand(2, generator=gen)
            x[c] += 0.2 * torch.sin(6.2832 * (f * (1 + c / 7) * t + phase)) * (0.2 + (9 * (t + swell)).sin().abs())
        x[c] += 0.03 * torch.randn(samples, generator=gen)
    pcm = (x.clamp(-1, 1) * 32767).round().to(torch.int16)
    return pcm, pcm.float() / 32768


def draw(state, gen):
    """Random weights that keep signals in size and codes diverse."""
    for name, p in state.items():
        if "lstm" in name:
            p.copy_((torch.rand(p.shape, generator=gen) * 2 - 1) * 1.2 / p.shape[-1] ** 0.5)
        elif "quantizer" in name:
            continue
        elif name.endswith(("weight_g", "original0")):
            p.copy_(torch.rand(p.shape, generator=gen) * 0.6 + 0.9)
        elif "norm.weight" in name:
            p.copy_(torch.rand(p.shape, generator=gen) + 0.5)
        elif name.endswith("bias"):
            p.copy_(0.1 * torch.randn(p.shape, generator=gen))
        else:
            fan = p[0].numel() if "convtr" not in name else 2 * p.shape[0]
            p.copy_(torch.randn(p.shape, generator=gen) * (1.3 / fan ** 0.5))


def draw_codebooks(books, latents, gen):
    """Each is scaled to what is left to code; latents [steps, dimension]."""
    left = latents
    for i, book in enumerate(books):
        book.inited.fill_(1)
        book.embed.copy_(torch.randn(book.embed.shape, generator=gen) * left.std(0) * 0.7 + (left.mean(0) if i == 0 else 0))
        book.embed_avg.copy_(book.embed)
        left = left - book.embed[torch.cdist(left, book.embed).argmin(1)]


def margin(books, latents):
    """Smallest gap between the nearest and the second row, relative to the latter's distance."""
    worst, left = 1.0, latents
    for book in books:
        d = torch.cdist(left.double(), book.embed.double()).pow(2)
        two = d.topk(2, largest=False).values
        worst = min(worst, float(((two[:, 1] - two[:, 0]) / two[:, 1]).min()))
        left = left - book.embed[d.argmin(1)]
    return worst


def best_signal(latents_of, books, rate, samples, channels, seed):
    return max((margin(books, latents_of(signal(rate, samples, channels, seed + s)[1])), seed + s)
               for s in range(60))


def make_48khz(out):
    gen = torch.Generator().manual_seed(48)
    kw = dict(channels=2, norm="time_group_norm", causal=False, n_filters=2, dimension=8)
    quantizer = quantization.ResidualVectorQuantizer(dimension=8, n_q=2, bins=1024)
    model = Authors(modules.SEANetEncoder(**kw), modules.SEANetDecoder(**kw), quantizer, [1.5, 3.0],
                    48000, 2, normalize=True, segment=1.0, name="encodec_48khz").eval()
    draw(model.state_dict(), gen)
    books = [layer._codebook for layer in quantizer.vq.layers]

    def latents(x):
        segments = [x[None, :, i:i + 48000] for i in range(0, x.shape[1], 47520)]
        scaled = [s / (s.mean(1, keepdim=True).pow(2).mean(2, keepdim=True).sqrt() + 1e-8) for s in segments]
        return torch.cat([model.encoder(s)[0].t() for s in scaled])

    draw_codebooks(books, latents(signal(48000, SAMPLES, 2, 1)[1]), gen)
    gap, seed = best_signal(latents, books, 48000, SAMPLES, 2, 4800)
    pcm, x = signal(48000, SAMPLES, 2, seed)
    model.set_target_bandwidth(3.0)
    frames = model.encode(x[None])
    audio = model.decode(frames)[0]
    unscaled = model.decode([(c, torch.ones_like(s)) for c, s in frames])[0]
    packed = io.BytesIO()
    compress_to_file(model, x, packed, use_lm=False)
    with open(os.path.join(out, "encodec_48khz.ecdc"), "wb") as f:
        f.write(packed.getvalue())
    save_file({k: v.clone() for k, v in model.state_dict().items()}, os.path.join(out, "encodec_48khz.safetensors"))
    save_file({"pcm": pcm, "latents": latents(x), "scales": torch.cat([s for _, s in frames]).view(-1),
               "codes": torch.cat([c[0] for c, _ in frames], 1),
               "length": torch.tensor([audio.shape[1]]),
               "audio_every_7": audio[:, ::7].contiguous(), "unscaled_every_7": unscaled[:, ::7].contiguous(),
               "audio_joint": audio[:, 47400:48100].contiguous()},
              os.path.join(out, "encodec_48khz_io.safetensors"))
    return gap


def make_32khz(out):
    gen = torch.Generator().manual_seed(32)
    config = EncodecConfig(sampling_rate=32000, num_filters=2, hidden_size=8, upsampling_ratios=[8, 5, 4, 4],
                           use_causal_conv=False, use_conv_shortcut=False, codebook_size=256,
                           target_bandwidths=[1.2], num_residual_layers=2)
    model = EncodecModel(config).eval()
    state = model.state_dict()
    draw(state, gen)
    model.load_state_dict(state)
    books = [layer.codebook for layer in model.quantizer.layers]

    def latents(x):
        return model.encoder(x[None])[0].t()

    draw_codebooks(books, latents(signal(32000, 9001, 1, 1)[1]), gen)
    gap, seed = best_signal(latents, books, 32000, 9001, 1, 3200)
    pcm, x = signal(32000, 9001, 1, seed)
    codes = model.encode(x[None], bandwidth=1.2).audio_codes[0]
    short = model.encode(x[None, :, :500], bandwidth=1.2).audio_codes[0]
    whole = {"audio_encoder." + k: v.clone() for k, v in model.state_dict().items()}
    whole["decoder.embed.weight"] = torch.zeros(2, 2)   # of another part of the larger model
    save_file(whole, os.path.join(out, "encodec_32khz.safetensors"))
    keep = ("model_type", "sampling_rate", "audio_channels", "normalize", "num_filters", "num_residual_layers",
            "upsampling_ratios", "norm_type", "use_causal_conv", "pad_mode", "codebook_size", "codebook_dim",
            "use_conv_shortcut", "hidden_size", "target_bandwidths", "chunk_length_s")
    with open(os.path.join(out, "encodec_32khz_config.json"), "w") as f:
        json.dump({"model_type": "musicgen", "audio_encoder": {k: config.to_dict()[k] for k in keep}}, f, indent=1)
    save_file({"pcm": pcm, "latents": latents(x).contiguous(), "codes": codes[0], "short_codes": short[0],
               "audio": model.decode(codes[None], [None]).audio_values[0]},
              os.path.join(out, "encodec_32khz_io.safetensors"))
    return gap


print("smallest relative gap between nearest and second row:", make_48khz(sys.argv[1]), make_32khz(sys.argv[1]))
