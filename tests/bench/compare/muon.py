"""A Muon step of the golf baseline with torch.optim.Muon; see muon.lua."""
import torch

SHAPES = ((512, 512), (256, 512), (256, 512), (512, 512), (1024, 512), (512, 1024))


def muon_step():
    matrices = []
    for shape in SHAPES * 9:
        matrix = torch.nn.Parameter(torch.randn(shape) * 0.02)
        matrix.grad = torch.randn(shape)
        matrices.append(matrix)
    return torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.0).step


CASES = {"muon_step": muon_step}
