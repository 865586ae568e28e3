"""Makes the libraries of CUDA that LibTorch's CUDA half needs, out of nothing: runtime.cpp behaves like a device that
computes nothing, all other functions return success. With them LibTorch's own code for devices runs on any machine:
allocators, streams, random numbers, autograd, graphs. See runtime.cpp.

build(libtorch, folder) -> the environment that a program needs to find them
"""

import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).parent
# What libtorch_cuda brings into a process that is not LibTorch's own or the system's.
FOREIGN = re.compile(r"lib(cu|nv|nccl)\w*\.so")


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def undefined(library):
    """Names of functions of CUDA's libraries that a library calls."""
    lines = output("nm", "-D", "--undefined-only", library).splitlines()
    names = (line.split()[-1].split("@")[0] for line in lines)
    return {name for name in names if re.match(r"(__cuda|cu[a-zA-Z]|nccl|nvshmem|nvtx|nvml)", name)}


def versions(library):
    """{library that is needed: names of versions in it}"""
    found, current = {}, None
    for line in output("objdump", "-p", library).splitlines():
        needed = re.match(r"\s+NEEDED\s+(\S+)", line)
        required = re.match(r"\s+required from (\S+):", line)
        if needed and FOREIGN.match(needed[1]):
            found.setdefault(needed[1], set())
        elif required:
            current = required[1]
        elif current in found and re.match(r"\s+0x", line):
            found[current].add(line.split()[-1])
    return found


def compile_stub(folder, soname, names=()):
    script = folder / f"{soname}.map"
    script.write_text("".join(f"{name} {{ }};\n" for name in names))
    flags = [f"-Wl,--version-script={script}"] if names else []
    empty = folder / "empty.c"
    empty.write_text("")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", *flags, empty, "-o", folder / soname], check=True)


def build(libtorch, folder):
    lib = pathlib.Path(libtorch) / "lib"
    headers = lib.parent.parent / "nvidia/cu13/include"
    libraries = [lib / f"lib{name}.so" for name in ("torch_cuda", "c10_cuda", "torch_nvshmem", "caffe2_nvrtc")]
    needed, functions = {}, set()
    for library in libraries:
        functions |= undefined(library)
        for soname, names in versions(library).items():
            needed.setdefault(soname, set()).update(names)
    for soname, names in needed.items():
        if soname != "libcuda.so.1":
            compile_stub(folder, soname, names)

    runtime = HERE / "runtime.cpp"
    own = set(re.findall(r"\b(\w+)\(", runtime.read_text()))
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(functions - own)))
    subprocess.run(["cc", "-w", "-fPIC", "-c", stubs, "-o", folder / "stubs.o"], check=True)
    # It is the driver, too, which LibTorch asks for by this name.
    driver = folder / "libcuda.so.1"
    subprocess.run(["c++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wl,-soname,libcuda.so.1", f"-isystem{headers}",
                    runtime, folder / "stubs.o", "-o", driver], check=True)
    return {"LD_PRELOAD": str(driver), "LD_LIBRARY_PATH": f"{folder}:{lib}", "GAMUT_CUDA": "1"}
