"""Makes the goldens of the golf study's models with the twin in PyTorch (tests/bench/compare/golf_twin.py), in float64:

    python make_goldens.py          needs the packages of tests/bench/requirements.txt; some minutes

goldens.json: `true` has of each model of 17M parameters the losses of two steps and, of every gradient of both, the norm
and the product with sin(0), sin(1), ...; tests/lua/golf_goldens_test.lua compares. `narrow` has ten losses of models of
width 64 over a vocabulary of 260, in float32's arithmetic made exact, and in the study's bfloat16 layout;
tests/end_to_end/golf_goldens.py runs train.lua on the same tokens. Those are in narrow/ and true/, as shards."""
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "compare"))

import golf_twin  # noqa: E402
from golf_training import Settings, Stream, Training, pseudo_text, write_shard  # noqa: E402

SEED = 1337
TRUE = dict(sequences=1, context=128, accumulate=2, steps=2)
NARROW = dict(sequences=2, context=64, accumulate=2, steps=10)
NARROW_SHAPE = dict(width=64, vocabulary=260)
NARROW_SETTINGS = dict(momentum_steps=5, warmdown_steps=4, iterations=10)


def tokens_of(plan):
    return plan["steps"] * plan["accumulate"] * (plan["sequences"] * plan["context"] + 1)


def sketch(gradient):
    flat = gradient.double().flatten()
    return [float(f"{number:.9g}") for number in (flat.norm(), flat @ torch.arange(len(flat)).double().sin())]


def train(model, plan, settings, folder, after_gradients=None):
    """The losses of the steps."""
    training, losses = Training(model, settings), []
    stream = Stream(folder, plan["sequences"], plan["context"])
    for _ in range(plan["steps"]):
        losses.append(training.gradients([stream.next() for _ in range(plan["accumulate"])]))
        if after_gradients:
            after_gradients(model)
        training.step()
    return losses


def true_model(name):
    torch.manual_seed(SEED)
    model, gradients = golf_twin.Model(name).double(), []

    def keep(trained):
        gradients.append({path: sketch(parameter.grad) for path, parameter in trained.named_parameters()})

    losses = train(model, TRUE, Settings(newton_schulz=torch.float64), HERE / "true", keep)
    return {"losses": losses, "gradients": gradients}


def narrow_model(name, precision):
    torch.manual_seed(SEED)
    model = golf_twin.Model(name, **NARROW_SHAPE)
    model = model.double() if precision == "float32" else model.study_precision()
    iteration = torch.float64 if precision == "float32" else torch.bfloat16
    return train(model, NARROW, Settings(newton_schulz=iteration, **NARROW_SETTINGS), HERE / "narrow")


def main():
    for folder, plan, vocabulary in (("true", TRUE, 1024), ("narrow", NARROW, NARROW_SHAPE["vocabulary"])):
        (HERE / folder).mkdir(exist_ok=True)
        write_shard(HERE / folder / "fineweb_train_000000.bin", pseudo_text(tokens_of(plan), vocabulary))
    write_shard(HERE / "narrow" / "fineweb_val_000000.bin", pseudo_text(257, NARROW_SHAPE["vocabulary"], seed=8))
    goldens = {
        "true": {name: true_model(name) for name in golf_twin.ARCHITECTURES},
        "narrow": {name: {precision: narrow_model(name, precision) for precision in ("float32", "bfloat16")}
                   for name in golf_twin.ARCHITECTURES},
    }
    (HERE / "goldens.json").write_text(json.dumps(goldens, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
