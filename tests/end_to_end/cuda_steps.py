"""Training steps as CUDA graphs without a GPU: LibTorch's own CUDA code on a device that computes nothing
(support/fake_cuda). A step through every mixer can be recorded, and a recording that fails leaves nothing behind."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["GAMUT_SOURCE"], "tests/end_to_end/support"))
from fake_cuda.build import build  # noqa: E402

HERE = pathlib.Path.cwd()
SUPPORT = pathlib.Path(os.environ["GAMUT_SOURCE"]) / "tests/end_to_end/support/fake_cuda"


def skip_without_cuda(libtorch):
    built = pathlib.Path(os.environ["GAMUT_BUILD"]) / "lib/gamut/cuda/torch.so"
    if not built.exists() or not (libtorch / "lib/libtorch_cuda.so").exists():
        print("this build has no LibTorch with CUDA")
        sys.exit(77)
    if b"libasan" in subprocess.run(["ldd", os.environ["GAMUT"]], capture_output=True, check=True).stdout:
        print("a sanitizer has to be the first library of a process")
        sys.exit(77)


def gamut(environment, *arguments):
    done = subprocess.run([os.environ["GAMUT"], *arguments], env={**os.environ, **environment}, text=True,
                          capture_output=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"gamut {' '.join(arguments)}: exit code {done.returncode}\n{said}"
    return said


def main():
    libtorch = pathlib.Path(os.environ["GAMUT_BUILD"], "lib/gamut/libtorch.path").read_text().strip()
    skip_without_cuda(pathlib.Path(libtorch))
    folder = HERE / "libraries"
    folder.mkdir()
    environment = build(libtorch, folder)
    assert "CUDA device 0: Fake A100" in gamut(environment, "--version")

    (HERE / "train.lua").write_text("")
    (HERE / "config.yaml").write_text("{}\n")
    gamut(environment, "exec", str(SUPPORT / "recording.lua"))
    print("steps of every mixer are recorded")


main()
