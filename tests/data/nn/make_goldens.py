"""Writes goldens.safetensors beside this file: initial values and forward results of PyTorch 2.11.

Needs torch and safetensors. Run by hand when the list below changes; tests/lua/nn_init_test.lua and
nn_layers_test.lua read the result.
"""

import pathlib

import torch
import torch.nn.functional as F
from torch import nn
from safetensors.torch import save_file

out = {}


def initialisers():
    # Each from the same seed; shapes on both sides of the sizes where PyTorch changes its drawing code
    # (normal_ draws 16 or more values another way).
    fills = {
        "normal": lambda t: nn.init.normal_(t, 0.5, 2.0),
        "uniform": lambda t: nn.init.uniform_(t, -1.0, 3.0),
        "trunc_normal": lambda t: nn.init.trunc_normal_(t, 0.1, 0.7, -1.0, 0.9),
        "xavier_uniform": lambda t: nn.init.xavier_uniform_(t, 1.5),
        "xavier_normal": lambda t: nn.init.xavier_normal_(t),
        "kaiming_uniform": lambda t: nn.init.kaiming_uniform_(t, a=5**0.5),
        "kaiming_normal": lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
        "orthogonal": lambda t: nn.init.orthogonal_(t, gain=0.8),
    }
    for name, fill in fills.items():
        for shape in [(3, 5), (6, 4), (4, 3, 2)]:
            torch.manual_seed(1234)
            tensor = torch.empty(*shape)
            fill(tensor)
            out[f"init.{name}.{'x'.join(map(str, shape))}"] = tensor
    torch.manual_seed(7)
    out["init.bfloat16.normal"] = nn.init.normal_(torch.empty(9, 11, dtype=torch.bfloat16))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 12)
        self.up = nn.Linear(12, 24)
        self.down = nn.Linear(24, 12, bias=False)


def construction():
    torch.manual_seed(42)
    model = Mlp()
    for name, tensor in model.state_dict().items():
        out[f"construct.{name}"] = tensor
    out["construct.next"] = torch.rand(4)


def layers():
    torch.manual_seed(5)
    x = torch.randn(2, 7, 12)
    ids = torch.randint(0, 20, (2, 7))
    weight = torch.randn(12)
    gate, up, down = torch.randn(24, 12), torch.randn(24, 12), torch.randn(12, 24)
    out.update({"x": x, "ids": ids, "weight": weight, "gate": gate, "up": up, "down": down})

    norm = nn.RMSNorm(12, eps=1e-5)
    norm.weight.data.copy_(weight)
    leaf = x.clone().requires_grad_()
    y = norm(leaf)
    y.square().sum().backward()
    out["rms_norm.y"], out["rms_norm.dx"] = y.detach(), leaf.grad
    out["rms_norm.dweight"] = norm.weight.grad
    half = nn.RMSNorm(12, eps=1e-5, elementwise_affine=False)
    out["rms_norm.bfloat16"] = half(x.bfloat16())
    out["swiglu"] = F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)
    out["relu2"] = F.linear(F.relu(F.linear(x, up)).square(), down)
    torch.manual_seed(9)
    out["dropout"] = F.dropout(x, 0.25)
    logits, targets = torch.randn(2, 7, 20), torch.randint(0, 20, (2, 7))
    targets[0, 3] = -100
    out["logits"], out["targets"] = logits, targets
    out["cross_entropy"] = F.cross_entropy(logits.flatten(0, 1), targets.flatten())


initialisers()
construction()
layers()
folder = pathlib.Path(__file__).parent
save_file({k: v.detach().contiguous() for k, v in out.items()}, folder / "goldens.safetensors")
