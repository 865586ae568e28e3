"""The golf study's models as Gamut trains them, beside the twin in PyTorch: the same seed and tokens, the losses of some
steps, every gradient of the first and of a later one. tests/bench/golf.sh starts it."""
import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

import golf_twin
from golf_training import Settings, Stream, Training, pseudo_text, write_shard

HERE = Path(__file__).parent
LOSS_BOUND, GRADIENT_BOUND = 1e-4, 1e-4  # absolute; norm of the difference over the norm

# Our names of tensors inside a mixer, as the study calls them.
ATTENTION = {"q_proj.weight": "c_q.weight", "k_proj.weight": "c_k.weight", "v_proj.weight": "c_v.weight",
             "o_proj.weight": "proj.weight", "q_gain": "q_gain"}
DELTA = {**{f"{x}_proj.weight": f"w_{x}.weight" for x in "qkvabg"}, "o_proj.weight": "w_out.weight",
         **{f"{x}_conv1d.weight": f"{x}_conv.weight" for x in "qkv"}, "A_log": "A_log", "dt_bias": "dt_bias",
         "o_norm.weight": "o_norm_weight"}
MLP = {"up_proj.weight": "fc.weight", "down_proj.weight": "proj.weight"}


def study_name(ours, architecture):
    """A tensor of ours under the study's name."""
    if not ours.startswith("blocks."):
        return ours
    _, layer, part, *rest = ours.split(".")
    rest, plan = ".".join(rest), golf_twin.ARCHITECTURES[architecture]
    if part == "mixer":
        inside = DELTA if int(layer) in plan.delta_layers else ATTENTION
        return f"blocks.{layer}.{plan.mixer_name}.{inside[rest]}"
    return f"blocks.{layer}.mlp.{MLP[rest]}" if part == "mlp" else f"blocks.{layer}.{part}"


def run_ours(chosen, architecture, folder):
    """What golf_run.lua keeps, by heading: tensors under the study's names."""
    out = folder / "ours.safetensors"
    subprocess.run([chosen.gamut, "exec", HERE / "golf_run.lua", f"architecture={architecture}", f"data={folder}",
                    f"out={out}", *(f"{key}={getattr(chosen, key)}" for key in (
                        "precision", "context", "sequences", "accumulate", "steps", "later", "seed"))], check=True)
    kept = load_file(out)
    out.unlink()
    ours = {"losses": kept.pop("losses").tolist(), "seconds": kept.pop("seconds").tolist()}
    for name, tensor in kept.items():
        heading, path = name.split("/")
        ours.setdefault(heading, {})[study_name(path, architecture)] = tensor
    return ours


def make_twin(chosen, architecture):
    torch.manual_seed(chosen.seed)
    model = golf_twin.Model(architecture)
    if chosen.seed == 1337:
        check_probe(model, architecture)
    if chosen.precision == "bfloat16":
        model.study_precision()
    return model.double() if chosen.twin == "float64" else model


def gradients_of(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def run_twin(chosen, model, folder):
    """Losses and seconds of the steps, gradients of the first; and the micro-batches of the later step."""
    iteration = torch.bfloat16 if chosen.precision == "bfloat16" else getattr(torch, chosen.twin)
    training = Training(model, Settings(newton_schulz=iteration))
    stream, losses, seconds = Stream(folder, chosen.sequences, chosen.context), [], []
    for step in range(1, chosen.steps + 1):
        began = time.perf_counter()
        batches = [stream.next() for _ in range(chosen.accumulate)]
        losses.append(training.gradients(batches))
        if step == 1:
            first = gradients_of(model)
        if step == chosen.later:
            later = batches
        training.step()
        seconds.append(time.perf_counter() - began)
    return losses, seconds, first, later


def check_probe(model, architecture):
    """Ends the program unless the twin is drawn as the study's models were."""
    plan = golf_twin.ARCHITECTURES[architecture]
    given = (model.tok_emb.weight[0, :3], model.blocks[-1].mlp.fc.weight[0, :3])
    for numbers, expected in zip(given, plan.probe):
        torch.testing.assert_close(numbers.detach(), torch.tensor(expected), rtol=5e-6, atol=5e-9)
    count = sum(parameter.numel() for parameter in model.parameters())
    if count != plan.parameters:
        sys.exit(f"the twin has {count:,} parameters, not {plan.parameters:,}")


def compare_weights(model, start):
    """The draws are the study's, so both sides begin with equal bits."""
    theirs = dict(model.named_parameters())
    if theirs.keys() != start.keys():
        sys.exit(f"tensors of one side only: {sorted(theirs.keys() ^ start.keys())}")
    unequal = [name for name in theirs if not torch.equal(theirs[name].to(start[name].dtype), start[name])]
    print(f"  initial weights: {len(start)} tensors, {sum(t.numel() for t in start.values()):,} numbers, "
          f"{f'unequal: {unequal}' if unequal else 'all bits equal'}")
    return not unequal


def compare_gradients(title, ours, theirs, worst):
    """Prints the worst; returns the largest relative difference."""
    rows = []
    for name, expected in theirs.items():
        expected, given = expected.double(), ours[name].double()
        norm, difference = expected.norm().item(), (given - expected).norm().item()
        rows.append((difference / norm if norm else (0.0 if difference == 0 else float("inf")), norm, name))
    rows.sort(reverse=True)
    zero = sum(norm == 0 for _, norm, _ in rows)
    print(f"  {title}: {len(rows)} tensors, {zero} of them zero on both sides; the worst, |ours - twin| / |twin|:")
    for relative, norm, name in rows[:worst]:
        print(f"    {relative:10.2e}  norm {norm:10.3e}  {name}")
    return rows[0][0]


def compare(chosen, architecture, folder):
    """Whether both sides agree within the bounds."""
    types = "the same types" if chosen.precision == "bfloat16" and chosen.twin == "float32" else chosen.twin
    print(f"{architecture}, {chosen.precision}, twin in {types}: {chosen.steps} steps of {chosen.accumulate} x "
          f"{chosen.sequences} x {chosen.context} tokens, seed {chosen.seed}", flush=True)
    ours, model = run_ours(chosen, architecture, folder), make_twin(chosen, architecture)
    equal = compare_weights(model, ours["start"])
    losses, seconds, first, batches = run_twin(chosen, model, folder)
    print(f"  {'step':>4} {'ours':>12} {'twin':>12} {'difference':>11}   s ours / twin")
    for step, (mine, other) in enumerate(zip(ours["losses"], losses), 1):
        print(f"  {step:4} {mine:12.7f} {other:12.7f} {mine - other:11.2e}   "
              f"{ours['seconds'][step - 1]:.1f} / {seconds[step - 1]:.1f}")
    worst_loss = max(abs(mine - other) for mine, other in zip(ours["losses"], losses))
    gradients = [compare_gradients("gradients of step 1", ours["first"], first, chosen.worst)]
    model.load_state_dict(ours["weights"], strict=True)
    Training(model).gradients(batches)
    gradients.append(compare_gradients(f"gradients of step {chosen.later}, twin from our weights", ours["later"],
                                       gradients_of(model), chosen.worst))
    print(f"  largest difference of a loss {worst_loss:.2e}, of a gradient {max(gradients):.2e}", flush=True)
    if chosen.precision == "bfloat16":
        return equal  # the layout rounds at every step: figures, no bounds
    return equal and worst_loss <= LOSS_BOUND and max(gradients) <= GRADIENT_BOUND


def options():
    parser = argparse.ArgumentParser(prog="golf.sh parity", description=__doc__)
    parser.add_argument("--gamut", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--twin", choices=("float32", "float64"), default="float32", help="what PyTorch computes in")
    parser.add_argument("--delta", choices=("chunks", "transformers"), default="chunks", help="the twin's delta rule")
    for name, default, text in (
            ("context", 2048, "tokens of a sequence"), ("sequences", 1, "of a micro-batch"),
            ("accumulate", 2, "micro-batches of a step"), ("steps", 10, ""), ("seed", 1337, ""),
            ("later", 3, "step whose gradients are compared too"), ("worst", 8, "gradients shown")):
        parser.add_argument(f"--{name}", type=int, default=default, help=text)
    parser.add_argument("architectures", nargs="*", metavar="baseline|hybrid", default=list(golf_twin.ARCHITECTURES))
    return parser.parse_args()


def main():
    chosen, agree = options(), True
    torch.set_num_threads(2)
    golf_twin.GatedDeltaNet.rule = staticmethod(getattr(golf_twin, f"delta_{chosen.delta}"))
    with tempfile.TemporaryDirectory(prefix="gamut_golf_") as name:
        tokens = chosen.steps * chosen.accumulate * (chosen.sequences * chosen.context + 1)
        write_shard(Path(name) / "fineweb_train_000000.bin", pseudo_text(tokens))
        for architecture in chosen.architectures:
            agree = compare(chosen, architecture, Path(name)) and agree
    sys.exit(0 if agree else "the two sides differ")


main()
