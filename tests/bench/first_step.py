"""The same first step as first_step.lua in PyTorch."""
import torch
from torch import nn


class SwiGLU(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.gate_proj = nn.Linear(d_model, d_ff, bias=False)
        self.up_proj = nn.Linear(d_model, d_ff, bias=False)
        self.down_proj = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x):
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


torch.manual_seed(1)
model = SwiGLU(64, 128)
adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
model(torch.randn(8, 64)).square().mean().backward()
adamw.step()
