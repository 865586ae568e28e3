"""The models of the long-context golf study in plain PyTorch, written from the study's description: the same draws, names,
shapes and arithmetic, and nothing of Gamut. Baseline: attention in all layers, 17,059,912 parameters. Hybrid: gated delta
rule but for layers 3 and 7, 17,424,332."""
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

EPS = 2.0**-23  # of float32, at any dtype
VOCAB, LAYERS, HEADS, KV_HEADS, SOFTCAP, ROPE_BASE = 1024, 9, 8, 4, 30.0, 10000.0
CONTROL = ("attn_scale", "mlp_scale", "resid_mix", "q_gain", "skip_weights")  # kept in float32, and out of Muon


@dataclass
class Architecture:
    width: int
    delta_layers: tuple
    mixer_name: str  # of a block's mixer in the study's state names
    parameters: int
    probe: tuple  # with seed 1337: the first numbers of the embedding, and of the last block's mlp.fc


ARCHITECTURES = {
    "baseline": Architecture(512, (), "attn", 17_059_912,
                             ((-0.00471155, 0.00183675, -0.00427210), (0.00972062, -0.0157745, -0.0243000))),
    "hybrid": Architecture(448, (0, 1, 2, 4, 5, 6, 8), "mixer", 17_424_332,
                           ((-0.00189744, -0.00307623, 0.00049891), (0.0177069, 0.00760211, 0.0242129))),
}


def rms(x):
    return F.rms_norm(x, x.shape[-1:], eps=EPS)


class Linear(nn.Linear):
    """Weights may be wider than the stream: they are cast at each product."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))


class Rotary(nn.Module):
    """Halves (u1, u2) of a head turn by position * base^(-2i / width). The frequencies take part in the cast of the model."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("frequencies", ROPE_BASE ** (-torch.arange(0, width, 2) / width), persistent=False)
        self.tables = {}

    def table(self, time, dtype):
        if (time, dtype) not in self.tables:
            exact = torch.promote_types(torch.float32, self.frequencies.dtype)
            angles = torch.outer(torch.arange(time, dtype=exact), self.frequencies.to(exact))
            self.tables[time, dtype] = angles.cos().to(dtype), angles.sin().to(dtype)
        return self.tables[time, dtype]

    def forward(self, x):
        cos, sin = self.table(x.size(-2), x.dtype)
        u1, u2 = x.chunk(2, -1)
        return torch.cat((u1 * cos + u2 * sin, u2 * cos - u1 * sin), -1)


class Attention(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.width = d // HEADS
        self.c_q, self.c_k, self.c_v = Linear(d, d), Linear(d, KV_HEADS * self.width), Linear(d, KV_HEADS * self.width)
        self.proj = Linear(d, d)
        self.q_gain = nn.Parameter(torch.full((HEADS,), 1.5))
        self.rotary = Rotary(self.width)

    def forward(self, x):
        q, k, v = (linear(x).unflatten(2, (-1, self.width)).transpose(1, 2) for linear in (self.c_q, self.c_k, self.c_v))
        q, k = self.rotary(rms(q)), self.rotary(rms(k))
        q = q * self.q_gain.to(q.dtype)[:, None, None]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.proj(y.transpose(1, 2).flatten(2))


def delta_recurrence(q, k, v, g, beta):
    """The rule as it is defined, token by token; q, k [B, T, H, K], v [B, T, H, V], g and beta [B, T, H]."""
    state, outputs = q.new_zeros(q.size(0), q.size(2), q.size(3), v.size(3)), []
    for t in range(q.size(1)):
        state = state * g[:, t].exp()[..., None, None]
        error = beta[:, t, :, None] * (v[:, t] - torch.einsum("bhkv,bhk->bhv", state, k[:, t]))
        state = state + k[:, t, :, :, None] * error[:, :, None]
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]))
    return torch.stack(outputs, 1)


def delta_chunks(q, k, v, g, beta, chunk=64):
    """The same, chunk by chunk: inside one, a triangular system gives all errors but for the state before it."""
    time = q.size(1)

    def cut(x):  # [B, T, H, n] -> [B, H, chunks, chunk, n]; padding has beta 0 and decay 1
        return F.pad(x, (0, 0, 0, 0, 0, -time % chunk)).transpose(1, 2).unflatten(2, (-1, chunk))

    q, k, v, g, beta = (cut(x) for x in (q, k, v, g[..., None], beta[..., None]))
    total = g.cumsum(-2)
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=q.device).triu(1)
    decay = (total - total.mT).masked_fill(future, -torch.inf).exp()
    system = (beta * (k @ k.mT) * decay).tril(-1)
    solved = torch.linalg.solve_triangular(
        system, torch.cat((beta * v, beta * total.exp() * k), -1), upper=False, unitriangular=True)
    values, reads = solved.split((v.size(-1), k.size(-1)), -1)
    scores = (q @ k.mT) * decay
    q_decayed, k_left = q * total.exp(), k * (total[..., -1:, :] - total).exp()
    last = total[..., -1:, :].exp()
    state, outputs = q.new_zeros(*q.shape[:2], k.size(-1), v.size(-1)), []
    for n in range(q.size(2)):
        errors = values[:, :, n] - reads[:, :, n] @ state
        outputs.append(q_decayed[:, :, n] @ state + scores[:, :, n] @ errors)
        state = state * last[:, :, n] + k_left[:, :, n].mT @ errors
    return torch.cat(outputs, 2).transpose(1, 2)[:, :time]


def delta_transformers(q, k, v, g, beta):
    """The same by the public function of transformers, in float32. It scales queries itself."""
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    return torch_chunk_gated_delta_rule(q * q.size(-1) ** 0.5, k, v, g, beta)[0]


class ShortConvolution(nn.Conv1d):
    """Causal, depthwise, four taps, the last on the current token; then SiLU, both above bfloat16."""

    def __init__(self, width):
        super().__init__(width, width, 4, groups=width, bias=False)

    def forward(self, x):
        wide = torch.promote_types(torch.float32, x.dtype)
        y = F.conv1d(F.pad(x.to(wide).mT, (3, 0)), self.weight.to(wide), groups=self.groups)
        return F.silu(y).mT.to(x.dtype)


class GatedDeltaNet(nn.Module):
    rule = staticmethod(delta_chunks)

    def __init__(self, d):
        super().__init__()
        self.d_k = round(d // HEADS * 0.75)
        self.d_v = 2 * self.d_k
        keys, values = HEADS * self.d_k, HEADS * self.d_v
        self.w_q, self.w_k, self.w_v = Linear(d, keys), Linear(d, keys), Linear(d, values)
        self.w_a, self.w_b, self.w_g = Linear(d, HEADS), Linear(d, HEADS), Linear(d, values)
        self.w_out = Linear(values, d)
        self.q_conv, self.k_conv, self.v_conv = ShortConvolution(keys), ShortConvolution(keys), ShortConvolution(values)
        self.A_log = nn.Parameter(torch.empty(HEADS).uniform_(1, 16).log())
        low, high = math.log(0.001), math.log(0.1)
        dt = torch.exp(torch.rand(HEADS) * (high - low) + low).clamp(min=1e-4)
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.o_norm_weight = nn.Parameter(torch.ones(self.d_v))

    def forward(self, x):
        wide = torch.promote_types(torch.float32, x.dtype)
        q, k, v = (conv(linear(x)).unflatten(2, (HEADS, -1)).to(wide) for conv, linear in
                   ((self.q_conv, self.w_q), (self.k_conv, self.w_k), (self.v_conv, self.w_v)))
        q = q * torch.rsqrt(q.square().sum(-1, keepdim=True) + 1e-6) * self.d_k**-0.5
        k = k * torch.rsqrt(k.square().sum(-1, keepdim=True) + 1e-6)
        beta = 2 * self.w_b(x).to(wide).sigmoid()
        g = -self.A_log.to(wide).exp() * F.softplus(self.w_a(x).to(wide) + self.dt_bias.to(wide))
        o = self.rule(q, k, v, g, beta).to(x.dtype)
        o = rms(o) * self.o_norm_weight.to(x.dtype) * F.silu(self.w_g(x)).unflatten(2, (HEADS, -1))
        return self.w_out(o.flatten(2))


class MLP(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc, self.proj = Linear(d, 2 * d), Linear(2 * d, d)

    def forward(self, x):
        return self.proj(self.fc(x).relu().square())


class Block(nn.Module):
    def __init__(self, d, mixer, mixer_name):
        super().__init__()
        self.attn_scale, self.mlp_scale = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.resid_mix = nn.Parameter(torch.stack((torch.ones(d), torch.zeros(d))))
        self.mixer_name = mixer_name
        self.add_module(mixer_name, mixer)
        self.mlp = MLP(d)

    def forward(self, h, x0):
        mix = self.resid_mix.to(h.dtype)
        h = mix[0] * h + mix[1] * x0
        h = h + self.attn_scale.to(h.dtype) * getattr(self, self.mixer_name)(rms(h))
        return h + self.mlp_scale.to(h.dtype) * self.mlp(rms(h))


class Model(nn.Module):
    """Draws from PyTorch's generator in the study's order; seed it before. Another width or vocabulary makes a small one."""

    def __init__(self, name, width=None, vocabulary=VOCAB):
        super().__init__()
        plan = ARCHITECTURES[name]
        d = width or plan.width
        self.tok_emb = nn.Embedding(vocabulary, d)
        self.skip_weights = nn.Parameter(torch.ones(LAYERS // 2, d))
        self.blocks = nn.ModuleList()
        for layer in range(LAYERS):
            mixer = (GatedDeltaNet if layer in plan.delta_layers else Attention)(d)
            self.blocks.append(Block(d, mixer, plan.mixer_name))
        nn.init.normal_(self.tok_emb.weight, 0.0, 0.005)
        for path, parameter in self.named_parameters():
            if path.endswith((".proj.weight", ".w_out.weight")):
                nn.init.zeros_(parameter)

    def forward(self, ids):
        h = x0 = rms(self.tok_emb(ids))
        stack = []
        for layer, block in enumerate(self.blocks):
            if layer >= LAYERS // 2 and stack:
                h = h + self.skip_weights[layer - LAYERS // 2].to(h.dtype) * stack.pop()
            h = block(h, x0)
            if layer < LAYERS // 2:
                stack.append(h)
        z = F.linear(rms(h), self.tok_emb.weight)
        return (SOFTCAP * torch.tanh(z / SOFTCAP)).to(torch.promote_types(torch.float32, z.dtype))

    def loss(self, ids, targets):
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())

    def study_precision(self):
        """All of it to bfloat16, then matrices of linears, vectors and control tensors back to float32."""
        self.bfloat16()
        for module in self.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, Linear) or parameter.ndim < 2 or name in CONTROL:
                    parameter.data = parameter.data.float()
        return self
