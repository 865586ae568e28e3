"""How the long-context golf study trains, in plain PyTorch: shards and stream, groups, Muon, schedule."""
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from golf_twin import CONTROL

HEADER = 256  # int32: magic, version, tokens


def write_shard(path, ids):
    header = numpy.zeros(HEADER, dtype="<i4")
    header[:3] = 20240520, 1, len(ids)
    Path(path).write_bytes(header.tobytes() + numpy.asarray(ids, dtype="<u2").tobytes())


def pseudo_text(tokens, vocabulary=1024, seed=7):
    """Documents that begin with id 1; ids of a Zipf law whose order depends on the one before, so there is something to learn."""
    draws = numpy.random.default_rng(seed)
    ranks = numpy.minimum(draws.zipf(1.3, tokens), vocabulary - 4) - 1
    ids = numpy.empty(tokens, dtype=numpy.int64)
    previous, left = 0, 0
    for position, rank in enumerate(ranks):
        if left == 0:
            previous, left = 1, 1 + int(draws.geometric(1 / 400))
        else:
            previous = 4 + int(rank * 37 + previous * 11) % (vocabulary - 4)
        ids[position], left = previous, left - 1
    return ids


class Stream:
    """Micro-batches of m + 1 tokens from a folder's train shards, in order, again from the beginning at the end."""

    def __init__(self, folder, sequences, context):
        shards = sorted(Path(folder).glob("fineweb_train_*.bin"))
        self.tokens = torch.from_numpy(numpy.concatenate(
            [numpy.fromfile(path, dtype="<u2", offset=4 * HEADER) for path in shards]).astype(numpy.int64))
        self.shape, self.position = (sequences, context), 0

    def next(self):
        count = self.shape[0] * self.shape[1]
        taken = self.tokens[(self.position + torch.arange(count + 1)) % len(self.tokens)]
        self.position += count + 1
        return taken[:-1].view(self.shape), taken[1:].view(self.shape)


def orthogonal(matrix, dtype):
    """Five steps of Jordan's quintic Newton-Schulz iteration."""
    x = matrix.to(dtype)
    x = x / (x.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    x = x.mT if tall else x
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Muon:
    def __init__(self, parameters, lr, dtype):
        self.parameters, self.base_lr, self.dtype = parameters, lr, dtype
        self.sums = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, momentum, multiplier):
        for p, total in zip(self.parameters, self.sums):
            total.mul_(momentum).add_(p.grad)
            update = orthogonal(p.grad + momentum * total, self.dtype)
            stretch = max(1, p.size(0) / p.size(1)) ** 0.5
            p.sub_((update * stretch).to(p.dtype), alpha=self.base_lr * multiplier)


@dataclass
class Settings:
    embed_lr: float = 0.03
    matrix_lr: float = 0.02
    scalar_lr: float = 0.02
    momentum_start: float = 0.92
    momentum_final: float = 0.99
    momentum_steps: int = 190
    warmdown_steps: int = 381
    iterations: int = 20000  # without a cap on the seconds: the last warmdown_steps of these fall linearly
    newton_schulz: torch.dtype = torch.float32


class Training:
    """The optimizers over a model's groups, and the step that all share."""

    def __init__(self, model, settings=None):
        self.model, self.settings, self.step_number = model, settings or Settings(), 0
        groups = {"embedding": [], "matrices": [], "others": []}
        for name, parameter in model.named_parameters():
            groups[self.group_of(name, parameter)].append(parameter)
        s = self.settings
        self.muon = Muon(groups["matrices"], s.matrix_lr, s.newton_schulz)
        self.adams = [(torch.optim.Adam(groups[group], lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True), lr)
                      for group, lr in (("embedding", s.embed_lr), ("others", s.scalar_lr))]
        self.groups = groups

    @staticmethod
    def group_of(name, parameter):
        if name == "tok_emb.weight":
            return "embedding"
        controlled = any(word in name for word in CONTROL)
        return "matrices" if name.startswith("blocks.") and parameter.ndim == 2 and not controlled else "others"

    def momentum(self):
        s, share = self.settings, min(self.step_number / self.settings.momentum_steps, 1)
        return (1 - share) * s.momentum_start + share * s.momentum_final

    def multiplier(self):
        left = self.settings.iterations - self.step_number
        return min(1.0, left / self.settings.warmdown_steps)

    def step(self):
        """Updates from the gradients that are there, and forgets them."""
        for adam, lr in self.adams:
            adam.param_groups[0]["lr"] = lr * self.multiplier()
            adam.step()
        self.muon.step(self.momentum(), self.multiplier())
        self.step_number += 1
        self.model.zero_grad(set_to_none=True)

    def gradients(self, batches, loss=None):
        """Gradients of the mean loss of these micro-batches, and that mean."""
        losses = []
        for ids, targets in batches:
            one = (loss or self.model.loss)(ids, targets)
            (one / len(batches)).backward()
            losses.append(one.item())
        return sum(losses) / len(losses)
