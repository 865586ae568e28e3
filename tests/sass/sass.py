#!/usr/bin/env python3
"""What nvcc made of the kernels: registers, spills, tensor-core instructions, as a table; and a check of it.

    sass.py CUOBJDUMP FILE... [--arch sm_90a] [--all] [--needs 80 90a 100]

FILE is an object that nvcc wrote, NAME.cu.o, or kernels.so, whose kernels do not tell the source that they are from.

A line stands for all instances of a kernel and shows the worst of each column; with --all each instance has its own.
  registers  of a thread            stack  bytes of local memory of a thread
  mma        tensor-core instructions in the code, and of them within loops
  local      loads and stores of local memory (spills, and arrays that are not in registers) in the code, and
             within main loops: loops that hold tensor-core instructions, the innermost ones of kernels that have none
Fails (status 1) where a main loop touches local memory; where a kernel that is made of products (NEEDS_MMA) has no
tensor-core instruction; and where a source lacks machine code for an architecture of --needs, or PTX for the last one.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from loops import loops  # noqa: E402 (beside this file)

# Kernels whose arithmetic is products of matrices.
NEEDS_MMA = re.compile(r"gated_delta_rule/.*(prepare|scan|chain|scores|gradients)_kernel")
MMA = re.compile(r"\b(HMMA|QMMA|IMMA|HGMMA|QGMMA|UTCHMMA|UTCQMMA)\b")
LOCAL = re.compile(r"\b(LDL|STL)\b")
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")


@dataclasses.dataclass
class Kernel:
    source: str
    name: str  # mangled
    instructions: list = dataclasses.field(default_factory=list)
    registers: int = 0
    stack: int = 0


@dataclasses.dataclass
class Row:
    source: str
    name: str
    instances: int = 1
    registers: int = 0
    stack: int = 0
    mma: int = 0
    mma_in_loops: int = 0
    local: int = 0
    local_in_main_loops: int = 0


def dump(cuobjdump, path, *what):
    # cuobjdump calls nvdisasm, which lies beside it.
    environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(cuobjdump)) + ":" + os.environ["PATH"])
    result = subprocess.run([cuobjdump, *what, path], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{cuobjdump} {' '.join(what)} {path}: {result.stderr.strip()}")
    return result.stdout


def read_code(listing, source):
    """The kernels of `cuobjdump -sass`, by mangled name."""
    kernels, kernel = {}, None
    for line in listing.splitlines():
        if match := re.match(r"\s*Function : (\S+)", line):
            kernel = kernels[match[1]] = Kernel(source, match[1])
        elif kernel and (match := INSTRUCTION.match(line)):
            kernel.instructions.append((int(match[1], 16), match[2]))
    return kernels


def read_resources(listing, kernels):
    name = None
    for line in listing.splitlines():
        if match := re.match(r"\s*Function (\S+):", line):
            name = match[1]
        elif name in kernels and (match := re.search(r"REG:(\d+) STACK:(\d+)", line)):
            kernels[name].registers, kernels[name].stack = int(match[1]), int(match[2])


def measure(kernel):
    row = Row(kernel.source, kernel.name, registers=kernel.registers, stack=kernel.stack)
    products = {address for address, text in kernel.instructions if MMA.search(text)}
    local = {address for address, text in kernel.instructions if LOCAL.search(text)}
    found = loops(kernel.instructions)
    innermost = [body for body in found if not any(other < body for other in found)]
    main = [body for body in found if body & products] if products else innermost
    row.mma, row.mma_in_loops = len(products), len(products.intersection(set().union(*found)))
    row.local, row.local_in_main_loops = len(local), len(local.intersection(set().union(*main)))
    return row


def plain_names(names):
    """What the mangled names say, without namespaces, or themselves where there is no c++filt."""
    tool = shutil.which("c++filt")
    if not tool or not names:
        return list(names)
    said = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    plain = re.sub(r"\(anonymous namespace\)::|gamut::cuda::|_GLOBAL__N__\w+::|^void ", "", said, flags=re.MULTILINE)
    return [re.sub(r"\(.*$", "", re.sub(r"\(([A-Za-z]\w*)\)(-?\d)", r"\2", line)) for line in plain.splitlines()]


def fold(rows):
    """One row for all instances of a kernel: the worst of each column."""
    folded = {}
    for row in rows:
        key = (row.source, re.sub(r"<.*", "", row.name))
        if key not in folded:
            folded[key] = dataclasses.replace(row, name=key[1])
            continue
        worst = folded[key]
        worst.instances += 1
        for column in ("registers", "stack", "local", "local_in_main_loops"):
            setattr(worst, column, max(getattr(worst, column), getattr(row, column)))
        for column in ("mma", "mma_in_loops"):
            setattr(worst, column, min(getattr(worst, column), getattr(row, column)))
    return list(folded.values())


def complaints(row):
    if row.local_in_main_loops:
        yield f"{row.local_in_main_loops} accesses of local memory within main loops"
    if NEEDS_MMA.search(f"{row.source}/{row.name}") and row.mma == 0:
        yield "no tensor-core instruction"


def read_file(cuobjdump, path, arch):
    """A row for each kernel of a file, and what `cuobjdump --list-elf --list-ptx` says of it."""
    source = re.sub(r"^.*/kernels/|\.o$", "", path)
    kernels = read_code(dump(cuobjdump, path, "-sass", "-arch", arch), source)
    read_resources(dump(cuobjdump, path, "--dump-resource-usage", "-arch", arch), kernels)
    return [measure(kernel) for kernel in kernels.values()], dump(cuobjdump, path, "--list-elf", "--list-ptx")


def missing_code(listing, needs):
    """What sources lack, by `cuobjdump --list-elf --list-ptx`, in words. It numbers a source's parts: norm.cu.1.sm_80.cubin."""
    found = set(re.findall(r"file +\d+: (\S+?)(?:\.cu)?(?:\.\d+)?\.sm_(\w+)\.(cubin|ptx)", listing))
    wanted = [(arch, "cubin") for arch in needs] + [(arch, "ptx") for arch in needs[-1:]]
    for source in sorted({source for source, _, _ in found}):
        for arch, kind in wanted:
            if (source, arch, kind) not in found:
                yield f"{source} has no {'machine code' if kind == 'cubin' else 'PTX'} for {arch}"


def table(rows):
    head = ("source", "kernel", "of it", "registers", "stack", "mma", "in loops", "local", "in main loops")
    lines = [head] + [tuple(map(str, dataclasses.astuple(row)[:2] + dataclasses.astuple(row)[2:])) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("cuobjdump")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--arch", default="sm_90a")
    parser.add_argument("--all", action="store_true", help="a line for each instance")
    parser.add_argument("--needs", nargs="+", default=[], help="architectures that every source must be compiled for")
    asked = parser.parse_args()

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        read = list(pool.map(lambda path: read_file(asked.cuobjdump, path, asked.arch), asked.files))
    rows = [row for found, _ in read for row in found]
    if not rows:
        sys.exit(f"no kernel for {asked.arch} in {' '.join(asked.files)}")
    for row, name in zip(rows, plain_names([row.name for row in rows])):
        row.name = name
    rows.sort(key=lambda row: (row.source, row.name))
    print(f"{asked.arch}\n")
    print(table(rows if asked.all else fold(rows)))
    found = [f"{row.source}: {row.name}: {words}" for row in rows for words in complaints(row)]
    found += [words for _, listing in read for words in missing_code(listing, asked.needs)]
    for words in found:
        print(f"FAILED: {words}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
