"""The models of the long-context golf study in PyTorch; see golf.lua."""
import torch

import golf_twin
from golf_training import Settings, Training


def model_of(architecture, dtype):
    torch.manual_seed(1337)
    model = golf_twin.Model(architecture)
    return model.study_precision() if dtype == "bfloat16" else model


def golf_micro_batch(architecture, dtype, T, delta="chunks", compiled=0):
    golf_twin.GatedDeltaNet.rule = staticmethod(getattr(golf_twin, f"delta_{delta}"))
    model = model_of(architecture, dtype)
    ids = (torch.arange(T + 1) * 31 % 1021)[None]
    x, y = ids[:, :-1], ids[:, 1:]
    loss_of = torch.compile(model.loss) if compiled else model.loss

    def call():
        loss = loss_of(x, y)
        loss.backward()
        return loss.item()

    return call, {"loss": call(), "parameters": sum(p.numel() for p in model.parameters())}


def golf_update(architecture, dtype):
    model = model_of(architecture, dtype)
    model.loss(torch.arange(16)[None], torch.arange(16)[None]).backward()
    training = Training(model, Settings(newton_schulz=getattr(torch, dtype)))

    def call():
        kept = [p.grad for p in model.parameters()]
        training.step()
        for parameter, grad in zip(model.parameters(), kept):
            parameter.grad = grad

    return call


CASES = {"golf_micro_batch": golf_micro_batch, "golf_update": golf_update}
