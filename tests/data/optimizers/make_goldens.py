"""Makes the goldens of the optimizers' tests with PyTorch 2.11 (needs torch only):

    python make_goldens.py

Six steps on fixed gradients; the learning rate halves after three, one parameter has no gradient in
the second step. `after/<case>/<name>` is the parameter at the end.
"""
import json
import struct

import torch

STEPS = 6
SHAPES = {"wide": (8, 24), "tall": (24, 8), "square": (12, 12), "tall_too": (24, 8), "bias": (8,)}
KELLER = [(3.4445, -4.7750, 2.0315)]
POLAR = [(8.156555, -22.483293, 15.878770), (4.042930, -2.808917, 0.500018),
         (3.891668, -2.772484, 0.506065), (3.285754, -2.368129, 0.464490),
         (2.346541, -1.709783, 0.423236)]


def save(path, tensors):
    header, blobs, offset = {}, [], 0
    names = {torch.float32: "F32", torch.bfloat16: "BF16"}
    for name, tensor in tensors.items():
        blob = tensor.contiguous().view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


torch.manual_seed(7)
start = {name: torch.randn(shape) for name, shape in SHAPES.items()}
gradients = [{name: torch.randn(shape) * 0.1 for name, shape in SHAPES.items()} for _ in range(STEPS)]
tensors = {f"start/{name}": tensor for name, tensor in start.items()}
for i, step in enumerate(gradients):
    tensors.update({f"grad{i}/{name}": tensor for name, tensor in step.items()})


def run(case, names, make, dtype=torch.float32):
    parameters = {name: start[name].to(dtype, copy=True).requires_grad_() for name in names}
    optimizer = make(list(parameters.values()))
    for i in range(STEPS):
        if i == 3:
            for group in optimizer.param_groups:
                group["lr"] /= 2
        for name, parameter in parameters.items():
            skipped = i == 1 and name == names[0]
            parameter.grad = None if skipped else gradients[i][name].to(dtype)
        optimizer.step()
    for name, parameter in parameters.items():
        tensors[f"after/{case}/{name}"] = parameter.detach().clone().float() if dtype == torch.float64 \
            else parameter.detach().clone()


class Reference:
    """Muon in float64, from its definition."""

    def __init__(self, parameters, lr, momentum, nesterov, decay, coefficients, safety, eps, scale):
        self.param_groups = [{"lr": lr}]
        self.parameters, self.buffers = parameters, [torch.zeros_like(p) for p in parameters]
        self.momentum, self.nesterov, self.decay, self.scale = momentum, nesterov, decay, scale
        self.coefficients, self.safety, self.eps = coefficients, safety, eps

    def orthogonalize(self, g):
        x = g.T if g.shape[0] > g.shape[1] else g
        x = x / (x.norm() * self.safety + self.eps)
        for i in range(5):
            a, b, c = self.coefficients[min(i, len(self.coefficients) - 1)]
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if g.shape[0] > g.shape[1] else x

    @torch.no_grad()
    def step(self):
        lr = self.param_groups[0]["lr"]
        for p, m in zip(self.parameters, self.buffers):
            if p.grad is None:
                continue
            m.mul_(self.momentum).add_(p.grad)
            update = self.orthogonalize(p.grad + self.momentum * m if self.nesterov else m)
            rows, columns = p.shape
            factor = max(1, rows / columns) ** 0.5 if self.scale == "original" \
                else 0.2 * max(rows, columns) ** 0.5
            p.mul_(1 - lr * self.decay).sub_(lr * factor * update)


everything = list(SHAPES)
matrices = everything[:-1]
run("adamw", everything, lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.9, 0.95), eps=1e-8,
                                                     weight_decay=0.1, fused=True))
run("adamw_bf16", everything, lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.9, 0.95), eps=1e-8,
                                                          weight_decay=0.1, fused=True), torch.bfloat16)
run("torch_original", matrices, lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.1, momentum=0.95))
run("torch_match", matrices, lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.0, momentum=0.9,
                                                        adjust_lr_fn="match_rms_adamw"))
run("keller", matrices, lambda p: Reference(p, 0.02, 0.95, True, 0.1, KELLER, 1.0, 1e-7, "original"),
    torch.float64)
run("polar_express", matrices, lambda p: Reference(p, 0.02, 0.9, False, 0.0, POLAR, 1.02, 1e-6,
                                                   "match_rms_adamw"), torch.float64)
save("goldens.safetensors", tensors)
print(len(tensors), "tensors")
