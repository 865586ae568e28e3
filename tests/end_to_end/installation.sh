#!/usr/bin/env bash
# The installed tree: moved, with nothing in its environment, and in a root folder that holds only
# the C and C++ runtimes, a shell and LibTorch. Its CMake package builds a plugin.
# shellcheck disable=SC2015,SC2016 # fail exits; $ORIGIN is meant literally
set -euo pipefail

here=$PWD
fail() { echo "FAILED: $*"; exit 1; }
read -r libtorch <"$GAMUT_BUILD/lib/gamut/libtorch.path"
bare() { env -i PATH=/usr/bin:/bin HOME="$here" "$@"; }

cmake --install "$GAMUT_BUILD" --prefix "$here/first" >install.log || { tail install.log; fail "cmake --install"; }
mkdir "a folder"
mv first "a folder/gamut"
tree="$here/a folder/gamut"
[ -x "$tree/bin/gamut" ] && [ -x "$tree/libexec/gamut" ] && [ -e "$tree/include/gamut/plugin.h" ] &&
  [ -e "$tree/share/gamut/scripts/gamut/init.lua" ] || fail "a file is missing in the installed tree"

kernels="$tree/lib/gamut/cuda/kernels.so"
if [ -e "$GAMUT_BUILD/lib/gamut/cuda/kernels.so" ]; then
  echo "--- the CUDA kernels are there and need nothing but the CUDA runtime, which LibTorch brings"
  needed=$(readelf -d "$kernels" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libstdc\+\+|libgcc_s|libm|libc)\.so') ||
    fail "no $kernels, or it needs no CUDA runtime"
  [ "$needed" = libcudart.so.13 ] || fail "$kernels needs $needed"
fi

graphs="$tree/lib/gamut/cuda/torch.so"
if [ -e "$GAMUT_BUILD/lib/gamut/cuda/torch.so" ]; then
  echo "--- the library of CUDA graphs is there, exports one function, and needs LibTorch and what that brings"
  exported=$(nm -D --defined-only "$graphs" | grep -o ' T .*') || fail "no $graphs"
  [ "$exported" = ' T gamut_torch_cuda' ] || fail "$graphs exports $exported"
  foreign=$(readelf -d "$graphs" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    grep -vE '^lib(torch_cuda|c10_cuda|torch_cpu|c10|cudart|stdc\+\+|gcc_s|m|c|gomp)\.so' || true)
  [ -z "$foreign" ] || fail "$graphs needs $foreign"
fi

echo "--- no path of this machine is left in a library"
while read -r file; do
  path=$(readelf -d "$file" | sed -n 's/.*R\(UN\)\?PATH.*\[\(.*\)\]/\2/p')
  case $path in '' | '$ORIGIN'*) ;; *) fail "$file has the run path $path" ;; esac
done < <(find "$tree/libexec" "$tree/lib" -type f \( -name '*.so*' -o -name gamut \))

echo "--- it runs where it was moved, through a link, and finds its plugins and scripts"
bare "$tree/bin/gamut" --version >version.txt
mkdir links
ln -s "../a folder/gamut/bin/gamut" links/gamut
cat >add.lua <<'LUA'
local gamut = require "gamut"
print(gamut.add(gamut.ones({2}), 1):sum():item())
LUA
[ "$(bare links/gamut exec add.lua)" = 4.0 ] || fail "gamut exec through a link"
bare "$tree/bin/gamut" plugins >plugins.txt
grep -q adamw plugins.txt && grep -q attention plugins.txt || { cat plugins.txt; fail "gamut plugins"; }
! grep -qF "$GAMUT_BUILD/lib/" plugins.txt || fail "the moved tree uses plugins of the build tree"

if [ -e "$GAMUT_BUILD/bin/gamut-parquet-text" ]; then
  bare "$tree/libexec/gamut-parquet-text" info "$GAMUT_SOURCE/tests/data/text/documents.parquet" | grep -q '"rows":23' ||
    fail "gamut-parquet-text"
fi

echo "--- the command for GPU machines finds the program that it lies beside"
bare "$tree/share/gamut/bench/gpu.sh" --rehearse --out "$here/gpu" facts >gpu.log || { cat gpu.log; fail "gpu.sh"; }
grep -qF '| facts | done |' gpu/summary.md && grep -qF "$tree/lib/gamut/cuda" gpu/facts.txt || { cat gpu.log; fail "gpu.sh"; }

echo "--- what it says without LibTorch"
refuses() { # expected text, then the command
  local text=$1 output
  shift
  if output=$(bare "$@" 2>&1); then fail "exit 0 of: $*"; fi
  [ "$(wc -l <<<"$output")" = 1 ] && grep -qF -- "$text" <<<"$output" || fail "no \`$text\` in: $output"
}
mkdir -p other/lib other/include/torch/headeronly
touch other/lib/libtorch_cpu.so
printf '#define TORCH_VERSION_%s\n' 'MAJOR 2' 'MINOR 9' 'PATCH 1' >other/include/torch/headeronly/version.h
refuses "where there is no lib/libtorch_cpu.so" GAMUT_LIBTORCH=/nowhere "$tree/bin/gamut" plugins
refuses "which is LibTorch 2.9.1" GAMUT_LIBTORCH="$here/other" "$tree/bin/gamut" plugins
echo "$libtorch" >remembered
: >"$tree/lib/gamut/libtorch.path"
refuses "LibTorch 2.11.0 is needed" "$tree/bin/gamut" plugins
cp remembered "$tree/lib/gamut/libtorch.path"

echo "--- a plugin out of tree builds with its CMake package"
mkdir plugin
cp "$GAMUT_SOURCE"/plugins/optimizers/adamw/*.cpp "$GAMUT_SOURCE"/plugins/optimizers/adamw/*.h plugin/ 2>/dev/null || true
sed -i 's/"adamw"/"outside"/' plugin/*.cpp
cat >plugin/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(outside LANGUAGES CXX)
find_package(gamut REQUIRED)
file(GLOB sources *.cpp)
gamut_add_plugin(outside KIND optimizer SOURCES ${sources})
CMAKE
cmake -S plugin -B plugin/build -G Ninja -DCMAKE_PREFIX_PATH="$tree" >plugin.log 2>&1 &&
  cmake --build plugin/build >>plugin.log 2>&1 || { tail -30 plugin.log; fail "building the plugin"; }
[ "$(nm -D --defined-only plugin/build/outside.so | grep -c ' [A-Z] gamut_plugin$')" = 1 ] || fail "gamut_plugin is not exported"
bare "$tree/bin/gamut" --plugin-path "$here/plugin/build" plugins >plugins.txt
grep -q outside plugins.txt || { cat plugins.txt; fail "the plugin is not listed"; }
sed -i 's/KIND optimizer/KIND optimiser/' plugin/CMakeLists.txt
if cmake -S plugin -B plugin/wrong -G Ninja -DCMAKE_PREFIX_PATH="$tree" >wrong.log 2>&1; then fail "a wrong KIND is accepted"; fi
grep -qF "it must be mixer, tokenizer" wrong.log || { cat wrong.log; fail "the words for a wrong KIND"; }

echo "--- it runs in a root folder without any package"
apart=(unshare --mount)
[ "$(id -u)" = 0 ] || apart=(unshare --mount --map-root-user)
if ! "${apart[@]}" true 2>/dev/null; then
  echo "skipped: this account may not change its root folder"
  exit 0
fi
root="$here/root"
mkdir -p "$root/bin" "$root/lib64" "$root/lib" "$root/tmp" "$root/proc" "$root/opt/nvidia"
cp -L /bin/sh "$root/bin/sh"
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libresolv.so.2 libstdc++.so.6 libgcc_s.so.1; do
  cp -L "$(ldconfig -p | awk -v name="$library" '$1 == name && /x86-64/ {print $NF; exit}')" "$root/lib/"
done
cp -rl "$libtorch" "$root/opt/torch" 2>/dev/null || cp -r "$libtorch" "$root/opt/torch"
cp -rl "$libtorch/../nvidia/." "$root/opt/nvidia/" 2>/dev/null || cp -r "$libtorch/../nvidia/." "$root/opt/nvidia/"
cp -r "$tree" "$root/gamut"
cp add.lua "$root/tmp/"
# The linker finds $ORIGIN by /proc. The mount ends with the process.
output=$("${apart[@]}" bash -c 'mount --rbind /proc "$1/proc" && exec env -i PATH=/bin GAMUT_LIBTORCH=/opt/torch \
  "$(command -v chroot)" "$1" /gamut/bin/gamut exec /tmp/add.lua' _ "$root") ||
  fail "it does not run there: $output"
[ "$output" = 4.0 ] || fail "in the bare root it printed $output"
rm -rf "$root"
echo "ok"
