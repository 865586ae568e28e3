"""The operators as Python runs them on a CPU: transformers' own functions where it has them, LibTorch's
operators otherwise. Cases are those of operators.lua."""
import torch
from torch.nn import functional as F
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
from transformers.models.qwen3_next.modeling_qwen3_next import (
    torch_chunk_gated_delta_rule,
    torch_recurrent_gated_delta_rule,
)


def leaf(*shape):
    return torch.randn(shape, requires_grad=True)


def requiring(x):
    return x.detach().requires_grad_()


def trained(inputs, gradient, run):
    """One forward and backward: `run` returns the output, `gradient` is shaped like it."""
    def call():
        for x in inputs:
            x.grad = None
        run().backward(gradient)
    return call


def delta_inputs(B, T, H, K, V):
    q, k = (requiring(F.normalize(torch.randn(B, T, H, K), dim=-1)) for _ in range(2))
    return q, k, leaf(B, T, H, V), requiring(-torch.rand(B, T, H)), requiring(torch.rand(B, T, H))


def delta_rule(B, T, H, K, V):
    inputs = delta_inputs(B, T, H, K, V)
    return trained(inputs, torch.randn(B, T, H, V), lambda: torch_chunk_gated_delta_rule(*inputs)[0])


def delta_rule_decode(B, H, K, V):
    inputs = delta_inputs(B, 1, H, K, V)
    state = torch.zeros(B, H, K, V)

    @torch.no_grad()
    def call():
        nonlocal state
        state = torch_recurrent_gated_delta_rule(*inputs, initial_state=state, output_final_state=True)[1]
    return call


def selective_scan_loop(u, delta, A, B, C, D, z, bias):
    """h = exp(delta A) h + delta u B; y = h C + D u, times silu(z): a loop over unbound steps. Everything that does
    not depend on the state is computed for all steps at once, and the states are read in one product."""
    delta = F.softplus(delta + bias)
    decay = torch.exp(delta.unsqueeze(-1) * A).unbind(1)
    write = ((delta * u).unsqueeze(-1) * B.unsqueeze(2)).unbind(1)
    h = torch.zeros_like(write[0])
    states = []
    for a, b in zip(decay, write):
        h = torch.addcmul(b, a, h)
        states.append(h)
    y = torch.matmul(torch.stack(states, 1), C.unsqueeze(-1)).squeeze(-1)
    return (y + D * u) * F.silu(z)


def selective_scan(B, T, E, N):
    inputs = (leaf(B, T, E), leaf(B, T, E), requiring(-torch.rand(E, N) - 0.5), leaf(B, T, N), leaf(B, T, N), leaf(E),
              leaf(B, T, E), leaf(E))
    return trained(inputs, torch.randn(B, T, E), lambda: selective_scan_loop(*inputs))


def ssd(B, T, H, P, N, backward=1):
    x, dt, A = leaf(B, T, H, P), leaf(B, T, H), requiring(-torch.rand(H) - 0.5)
    b, c, D, bias = leaf(B, T, 1, N), leaf(B, T, 1, N), leaf(H), leaf(H)

    def forward():
        y = mamba2_chunk_scan(x, dt, A, b, c, chunk_size=256, D=D, dt_bias=bias, dt_softplus=True)
        return y[0] if isinstance(y, tuple) else y
    if not backward:
        return torch.no_grad()(forward)
    return trained((x, dt, A, b, c, D, bias), torch.randn(B, T, H, P), forward)


def causal_conv(B, T, C):
    x, weight = leaf(B, T, C), leaf(C, 4)

    def forward():
        y = F.conv1d(x.transpose(1, 2), weight.unsqueeze(1), padding=3, groups=C)
        return F.silu(y[..., :T]).transpose(1, 2)
    return trained((x, weight), torch.randn(B, T, C), forward)


def gated_norm(B, T, H, D):
    x, gate, weight = leaf(B, T, H, D), leaf(B, T, H, D), leaf(D)
    return trained((x, gate, weight), torch.randn(B, T, H, D),
                   lambda: F.rms_norm(x, (D,), weight, 1e-5) * F.silu(gate))


def snake(x, alpha):
    """As transformers' Snake1d."""
    return x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).pow(2)


def sdpa(B, T, H, K, D, dtype):
    """Heads before steps, as LibTorch's kernel has them."""
    leaf = lambda heads: torch.randn(B, heads, T, D, dtype=getattr(torch, dtype)).requires_grad_()
    q, k, v = leaf(H), leaf(K), leaf(K)
    return trained((q, k, v), torch.randn(B, H, T, D, dtype=q.dtype),
                   lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True))


def codec_conv(T, C, N, K, s, d):
    x, alpha = torch.randn(1, C, T), torch.rand(1, C, 1) + 0.1
    weight, bias = torch.randn(N, C, K) / (C * K) ** 0.5, torch.randn(N)
    padding = (K - 1) * d - s + 1
    return torch.inference_mode()(
        lambda: F.conv1d(snake(x, alpha), weight, bias, stride=s, padding=(padding + 1) // 2, dilation=d))


def codec_conv_transpose(T, C, N, s):
    x, alpha = torch.randn(1, C, T), torch.rand(1, C, 1) + 0.1
    weight, bias = torch.randn(C, N, 2 * s) / (2 * C) ** 0.5, torch.randn(N)
    return torch.inference_mode()(lambda: F.conv_transpose1d(snake(x, alpha), weight, bias, stride=s))


def lstm(B, T, H, layers):
    x, network = torch.randn(B, T, H), torch.nn.LSTM(H, H, layers, batch_first=True).eval()
    return torch.inference_mode()(lambda: network(x))


CASES = {f.__name__: f for f in (delta_rule, delta_rule_decode, selective_scan, ssd, causal_conv, gated_norm, sdpa, codec_conv,
                                 codec_conv_transpose, lstm)}
