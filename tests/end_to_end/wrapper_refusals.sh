#!/usr/bin/env bash
# The wrapper on machines where something is missing or forbidden: each time one clear message that
# says how to go on, and a non-zero exit. The machine's commands are replaced on PATH.
# shellcheck disable=SC2016 # the fakes expand their own arguments
set -euo pipefail

here=$PWD
tools="$here/tools" # all of /usr/bin but what a test replaces
mkdir "$tools"
ln -s /usr/bin/* "$tools/" 2>/dev/null
ln -sf "$(command -v python3)" "$tools/python3"

fake() { # name, body
  rm -f "$tools/$1"
  printf '#!/bin/bash\n%s\n' "$2" >"$tools/$1"
  chmod +x "$tools/$1"
}
rm -f "$tools/sudo"
fake id 'echo 1000'
fake cmake 'echo "cmake was called: $*" >>'"$here/cmake.log"'; exit 1'
fake apt-get 'echo "E: Could not resolve the archive"; exit 100'
fake apt-cache 'exit 0'
lacks() { # package...: dpkg-query says that all but these are installed
  fake dpkg-query 'shift 2; for name in "$@"; do case " '"$*"' " in *" $name "*) ;; *) echo "$name installed" ;; esac; done'
}

fresh() { # a checkout that was never set up
  rm -rf "$here/tree"
  mkdir -p "$here/tree/core" "$here/tree/plugins" "$here/tree/tools"
  cp -r "$GAMUT_SOURCE/gamut" "$GAMUT_SOURCE/third_party" "$GAMUT_SOURCE/CMakeLists.txt" \
    "$GAMUT_SOURCE/CMakePresets.json" "$here/tree/"
}
wrapper() { env -u GAMUT_LIBTORCH PATH="$tools" GAMUT_CUDA=0 "${settings[@]}" "$here/tree/gamut" "$@" 2>&1 </dev/null; }
settings=()

refuses() { # what, expected text..., with the wrapper called as `setup`
  local what=$1 output
  shift
  if output=$(wrapper setup); then
    echo "FAILED: $what: exit 0, output: $output"
    exit 1
  fi
  for text in "$@"; do
    grep -qF -- "$text" <<<"$output" || { echo "FAILED: $what: no \`$text\` in: $output"; exit 1; }
  done
  echo "ok: $what"
}

fresh
lacks libyaml-cpp-dev ninja-build ccache
refuses "packages missing, no root and no sudo" \
  "may not install them" "An administrator has to run" \
  "apt-get update && apt-get install -y --no-install-recommends ninja-build libyaml-cpp-dev"

fake sudo 'exit 1'
refuses "packages missing, sudo says no" "An administrator has to run"

fake sudo '[ "$1" != -n ] || shift; exec "$@"'
refuses "packages missing, the archive is not reached" \
  "could not be installed" "Is there a network?" "E: Could not resolve the archive" "libyaml-cpp-dev"

lacks
settings=(PIP_NO_INDEX=1 PIP_FIND_LINKS= PIP_CONFIG_FILE=/dev/null)
refuses "no network for LibTorch" "LibTorch 2.11.0 could not be fetched with pip" \
  "put the wheels that" "GAMUT_LIBTORCH=/path"
if [ -e tree/.gamut/libtorch-2.11.0 ]; then echo "FAILED: LibTorch seems to be there"; exit 1; fi

rm -f "$tools/sudo"
lacks ccache mold perl-doc linux-doc
refuses "packages that may be missing stop nothing" "could not be fetched with pip"

fake uname 'echo riscv64'
refuses "a machine that the wheel is not for" "riscv64" "GAMUT_LIBTORCH="
rm "$tools/uname"
ln -s /usr/bin/uname "$tools/uname"

settings=(GAMUT_LIBTORCH="$here/nothing")
refuses "GAMUT_LIBTORCH names no LibTorch" "$here/nothing" "lib/libtorch_cpu.so"

mkdir -p old/lib old/include/ATen old/include/torch/headeronly
touch old/lib/libtorch_cpu.so old/include/ATen/ATen.h
printf '#define TORCH_VERSION_%s\n' 'MAJOR 2' 'MINOR 9' 'PATCH 1' >old/include/torch/headeronly/version.h
settings=(GAMUT_LIBTORCH="$here/old")
refuses "GAMUT_LIBTORCH names another version" "which is LibTorch 2.9.1" "needs 2.11.0"

settings=(GAMUT_CUDA=maybe)
refuses "GAMUT_CUDA is neither 0 nor 1" "must be 1" "maybe"

settings=(GAMUT_CUDA_TOOLCHAIN="$here/nothing")
refuses "GAMUT_CUDA_TOOLCHAIN names no toolkit" "$here/nothing" "bin/nvcc" "none"

# A set-up and built checkout starts at once: nothing of apt, pip or cmake is called.
fresh
settings=()
tree="$here/tree"
mkdir -p "$tree/.gamut/libtorch-2.11.0" "$tree/build/release/bin"
cp "$tree/third_party/packages/apt.txt" "$tree/.gamut/apt.txt.installed"
cp "$tree/third_party/requirements/libtorch.txt" "$tree/.gamut/libtorch-2.11.0/"
cp "$tree/third_party/requirements/arrow.txt" "$tree/.gamut/arrow.txt.left_out"
cp "$tree/third_party/requirements/cuda_toolchain.txt" "$tree/.gamut/cuda_toolchain.txt.left_out"
printf '#!/bin/bash\necho "the program, with $*"\n' >"$tree/build/release/bin/gamut"
chmod +x "$tree/build/release/bin/gamut"
sleep 0.02
echo "release $tree/.gamut/libtorch-2.11.0/torch  " >"$tree/build/release/built" # neither Arrow nor nvcc
rm -f cmake.log
output=$(wrapper run "a study" lr=1)
if [ "$output" != "the program, with run a study lr=1" ] || [ -e cmake.log ] || [ -e "$tree/.gamut/logs" ]; then
  echo "FAILED: a second call does more than start the program: $output"
  exit 1
fi
echo "ok: a second call starts at once"

sleep 0.02
touch "$tree/core/new.cpp"
if output=$(wrapper run study); then echo "FAILED: a stale program was started"; exit 1; fi
if ! grep -qF "could not be configured" <<<"$output" || [ ! -e cmake.log ]; then
  echo "FAILED: a newer source does not lead to a build: $output"
  exit 1
fi
echo "ok: a newer source is built first, and a failed build stops"

chmod a-w "$tree/.gamut"
if [ ! -w "$tree/.gamut" ]; then
  refuses "a checkout that cannot be written" "cannot be written"
fi
