"""The speech model in PyTorch as plainly as a Python user would write it: transformers' chunked delta rule, LibTorch's
attention, norms and losses, fused AdamW. Tensor names are those of experiments/speech_21m/model.lua."""
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

D, FF, LAYERS, HEADS, KV_HEADS, CODEBOOKS, VOCAB = 384, 1024, 8, 6, 2, 8, 1027


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class GatedDeltaNet(nn.Module):
    d_k, d_v = 48, 96

    def __init__(self, dropout):
        super().__init__()
        keys, values = HEADS * self.d_k, HEADS * self.d_v
        self.q_proj, self.k_proj, self.v_proj = linear(D, keys), linear(D, keys), linear(D, values)
        self.a_proj, self.b_proj, self.g_proj = linear(D, HEADS), linear(D, HEADS), linear(D, values)
        self.o_proj = linear(values, D)
        self.q_conv1d, self.k_conv1d, self.v_conv1d = (
            nn.Conv1d(width, width, 4, groups=width, padding=3, bias=False) for width in (keys, keys, values))
        self.A_log, self.dt_bias = nn.Parameter(torch.zeros(HEADS)), nn.Parameter(torch.zeros(HEADS))
        self.o_norm = nn.RMSNorm(self.d_v, eps=1e-5)
        self.dropout = nn.Dropout(dropout)

    def features(self, x, projection, conv, width):
        y = conv(projection(x).transpose(1, 2))[..., : x.size(1)]
        return F.silu(y).transpose(1, 2).unflatten(2, (HEADS, width))

    def forward(self, x):
        q = F.normalize(self.features(x, self.q_proj, self.q_conv1d, self.d_k).float(), dim=-1, eps=1e-6)
        k = F.normalize(self.features(x, self.k_proj, self.k_conv1d, self.d_k).float(), dim=-1, eps=1e-6)
        v = self.features(x, self.v_proj, self.v_conv1d, self.d_v)
        g = -self.A_log.exp() * F.softplus(self.a_proj(x).float() + self.dt_bias)
        beta = 2 * self.b_proj(x).float().sigmoid()
        # The function scales queries by d_k^-0.5; the study does not.
        o, _ = torch_chunk_gated_delta_rule(q * self.d_k**0.5, k, v.float(), g, beta)
        gate = F.silu(self.g_proj(x)).unflatten(2, (HEADS, self.d_v))
        return self.dropout(self.o_proj((self.o_norm(o) * gate).flatten(2)))


def rotate(x, cos, sin):
    """Interleaved pairs (2j, 2j + 1) of the last dimension turn by their angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Attention(nn.Module):
    head_dim = D // HEADS

    def __init__(self, dropout):
        super().__init__()
        self.q_proj, self.o_proj = linear(D, D), linear(D, D)
        self.k_proj, self.v_proj = linear(D, KV_HEADS * self.head_dim), linear(D, KV_HEADS * self.head_dim)
        self.q_norm, self.k_norm = nn.RMSNorm(self.head_dim, eps=1e-5), nn.RMSNorm(self.head_dim, eps=1e-5)
        self.dropout = nn.Dropout(dropout)
        rates = 500000.0 ** (-torch.arange(0, self.head_dim, 2) / self.head_dim)
        angles = torch.arange(1024)[:, None] * rates
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x):
        cos, sin = self.cos[: x.size(1)], self.sin[: x.size(1)]
        q, k, v = (proj(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
                   for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(self.q_norm(q), cos, sin).to(v.dtype), rotate(self.k_norm(k), cos, sin).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.dropout(self.o_proj(y.transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(D, FF), linear(D, FF), linear(FF, D)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, mixer, dropout):
        super().__init__()
        self.mixer_norm, self.mixer = nn.RMSNorm(D, eps=1e-5), mixer
        self.ff_norm, self.ff, self.dropout = nn.RMSNorm(D, eps=1e-5), SwiGLU(), nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.mixer(self.mixer_norm(x))
        return x + self.dropout(self.ff(self.ff_norm(x)))


class Model(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.embed = nn.ModuleDict({"embeddings": nn.ModuleList(nn.Embedding(VOCAB, D) for _ in range(CODEBOOKS))})
        self.blocks = nn.ModuleList(
            Block(Attention(dropout) if layer % 4 == 3 else GatedDeltaNet(dropout), dropout) for layer in range(LAYERS))
        self.output = nn.ModuleDict({
            "ln": nn.RMSNorm(D, eps=1e-5), "heads": nn.ModuleList(linear(D, VOCAB) for _ in range(CODEBOOKS))})

    def forward(self, codes):
        x = sum(embedding(codes[:, k]) for k, embedding in enumerate(self.embed["embeddings"]))
        for block in self.blocks:
            x = block(x)
        x = self.output["ln"](x)
        return torch.stack([head(x) for head in self.output["heads"]], 1)

    def loss(self, codes, targets):
        return F.cross_entropy(self(codes).flatten(0, 2).float(), targets.flatten())


def speech_step(dtype, exchange, dropout):
    model = Model(0.1 if dropout else 0.0)
    saved = load_file(exchange)
    codes, targets = saved.pop("codes"), saved.pop("targets")
    model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in saved.items()})
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)

    def loss_of():
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            return model.loss(codes, targets)

    def call():
        loss_of().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()

    model.eval()
    with torch.no_grad():
        before = loss_of().item()
    model.train()
    return call, {"loss": before, "parameters": sum(p.numel() for p in model.parameters())}


CASES = {"speech_step": speech_step}
