"""Attention layers in PyTorch as plainly as a Python user would write them, on scaled_dot_product_attention. Cases are
those of attention.lua."""
import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, d, heads, kv_heads, norm_weight, eps, interleaved, base, gain, sign, window):
        super().__init__()
        self.heads, self.kv_heads, self.width, self.eps = heads, kv_heads, d // heads, eps
        self.interleaved, self.sign, self.window = interleaved, sign, window
        self.q, self.k, self.v = (nn.Linear(d, n * self.width, bias=False) for n in (heads, kv_heads, kv_heads))
        self.o = nn.Linear(d, d, bias=False)
        weight = lambda: nn.Parameter(torch.ones(self.width)) if norm_weight else None
        self.q_norm, self.k_norm = weight(), weight()
        self.gain = nn.Parameter(torch.full((heads,), gain)) if gain else None
        self.frequency = base ** (-torch.arange(0, self.width, 2) / self.width)

    def turn(self, x, cos, sin):
        if self.interleaved:
            a, b = x[..., 0::2], x[..., 1::2]
            return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)

    def project(self, x, position):
        angle = torch.outer(torch.arange(position, position + x.size(1)), self.frequency)
        cos, sin = angle.cos().to(x.dtype), (self.sign * angle.sin()).to(x.dtype)
        heads = lambda y: y.unflatten(2, (-1, self.width)).transpose(1, 2)
        q, k, v = heads(self.q(x)), heads(self.k(x)), heads(self.v(x))
        q = self.turn(F.rms_norm(q, (self.width,), self.q_norm, self.eps), cos, sin)
        k = self.turn(F.rms_norm(k, (self.width,), self.k_norm, self.eps), cos, sin)
        return (q * self.gain.view(-1, 1, 1) if self.gain is not None else q), k, v

    def output(self, y):
        return self.o(y.transpose(1, 2).flatten(2))

    def forward(self, x, mask=None):
        q, k, v = self.project(x, 0)
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=True)
        return self.output(y)


MODELS = {
    "speech": dict(d=384, heads=6, kv_heads=2, norm_weight=True, eps=1e-5, interleaved=True, base=5e5, gain=None, sign=1),
    "golf": dict(d=448, heads=8, kv_heads=4, norm_weight=False, eps=1.1920929e-7, interleaved=False, base=1e4, gain=1.5,
                 sign=-1),
}


def mask_of(T, window, document):
    """Which keys a step sees, or None for all earlier ones."""
    if not window and not document:
        return None
    age = torch.arange(T).unsqueeze(1) - torch.arange(T)
    seen = age >= 0
    if window:
        seen &= age < window
    if document:
        number = torch.arange(T) // document
        seen &= number.unsqueeze(1) == number
    return seen


def attention(model, B, T, window=0, document=0, dtype="float32"):
    layer = Attention(**MODELS[model], window=window).to(getattr(torch, dtype))
    x = torch.randn(B, T, MODELS[model]["d"], dtype=getattr(torch, dtype), requires_grad=True)
    gradient, mask = torch.randn_like(x), mask_of(T, window, document)

    def call():
        x.grad = None
        layer.zero_grad()
        layer(x, mask).backward(gradient)
    return call


def attention_decode(model, B, T, window=0, dtype="float32"):
    """Keys and values in buffers made beforehand; with a window the last ones of them are read."""
    layer = Attention(**MODELS[model], window=window).to(getattr(torch, dtype))
    shape = (B, layer.kv_heads, T + 4096, layer.width)
    keys, values = (torch.randn(shape, dtype=getattr(torch, dtype)) for _ in range(2))
    x, read = torch.randn(B, 1, MODELS[model]["d"], dtype=getattr(torch, dtype)), T

    @torch.no_grad()
    def call():
        nonlocal read
        q, k, v = layer.project(x, read)
        keys[:, :, read : read + 1], values[:, :, read : read + 1] = k, v
        read += 1
        first = max(0, read - window) if window else 0
        y = F.scaled_dot_product_attention(q, keys[:, :, first:read], values[:, :, first:read], enable_gqa=True)
        return layer.output(y)
    return call


CASES = {"attention": attention, "attention_decode": attention_decode}
