#!/usr/bin/env bash
# Measures and checks everything that needs a GPU, in one go, into one folder; see README.md.
#
#   tests/bench/gpu.sh [--out FOLDER] [--rehearse] [--list] [PART...]      default: all parts
#
# Needs the program (GAMUT=/path/to/gamut names another than the one this file came with) and a LibTorch with CUDA
# (GAMUT_LIBTORCH=/path/to/torch), nothing else. A part that fails, or that the machine has no tool for, is told at the
# end, and the others go on; a later call with the same folder adds to it. --rehearse runs the same commands on the CPU
# at tiny sizes. PART_TIMEOUT=SECONDS ends a part (default 900), SANITIZER_TIMEOUT=SECONDS one of its tools (240).
set -uo pipefail

parts=(facts device parity sanitizer kernels fla steps)
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
out=gpu_$(date +%Y-%m-%dT%H-%M-%S)
device=cuda
chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out takes a folder}; shift ;;
    --rehearse) device=cpu ;;
    --list) printf '%s\n' "${parts[@]}"; exit ;;
    -*) echo "gpu.sh has no option $1; it has --out, --rehearse and --list" >&2; exit 2 ;;
    *)
      [[ " ${parts[*]} " == *" $1 "* ]] || { echo "gpu.sh has no part $1; it has ${parts[*]}" >&2; exit 2; }
      chosen+=("$1")
      ;;
  esac
  shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${parts[@]}")

# The program of the installed tree that this lies in (share/gamut/bench), or of the checkout.
find_program() {
  local program
  for program in "${GAMUT:-}" "$here/../../../bin/gamut" "$here/../../build/release/bin/gamut"; do
    [ -n "$program" ] && [ -x "$program" ] && { echo "$program"; return; }
  done
  echo "there is no program: build it (./gamut build), or name it with GAMUT=/path/to/gamut" >&2
  return 1
}
gamut=$(find_program) || exit 1
# Threads that wait at a barrier sleep soon.
[ -n "${OMP_WAIT_POLICY:-}" ] || export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}"
mkdir -p "$out" || exit 1
out=$(cd -- "$out" && pwd)
touch "$out/parts.txt"

# --- Parts: each prints what it found; exit code 77 says that the machine lacks what it needs. ---------------------

sizes() { if [ $device = cpu ]; then echo "$1"; else echo "$2"; fi; } # of a rehearsal, of a measurement

part_facts() {
  "$gamut" --version || return
  uname -srm
  if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.sm,power.limit,temperature.gpu \
      --format=csv
  fi
  cat >"$out/facts.lua" <<'LUA'
local gamut = require "gamut"
if arg[1] == "cuda" and not gamut.cuda.is_available() then
  print "no CUDA device answers"
  os.exit(1, true)
end
LUA
  "$gamut" exec "$out/facts.lua" $device
}

# What of LibTorch's side shows on a device alone: events, memory, graphs of true steps.
part_device() {
  local test=$here/cuda_test.lua
  [ -e "$test" ] || test=$here/../lua/cuda_test.lua
  "$gamut" exec "$test"
}

part_parity() {
  "$gamut" bench parity device=$device size="$(sizes small full)" json="$out/parity.json"
}

# Each tool on the parity of small shapes; kernels of Gamut alone are instrumented.
part_sanitizer() {
  local tool option sanitizer failed=0 filter=()
  sanitizer=$(command -v compute-sanitizer || find /usr/local/cuda*/bin -name compute-sanitizer 2>/dev/null | tail -n 1)
  [ -n "$sanitizer" ] || { echo "there is no compute-sanitizer"; return 77; }
  for option in --kernel-name --kernel-regex; do
    [ ${#filter[@]} -eq 0 ] && "$sanitizer" --help | grep -q -- "$option" && filter=("$option" kns=gamut)
  done
  for tool in memcheck racecheck synccheck; do
    echo "--- $tool"
    # Without the allocator's cache each tensor ends where its memory ends.
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout "${SANITIZER_TIMEOUT:-240}" "$sanitizer" --tool $tool "${filter[@]}" \
      --target-processes all --error-exitcode 9 --print-limit 20 \
      "$gamut" bench parity device=$device size=small seed=1 >"$out/$tool.log" 2>&1
    local code=$?
    tail -n 3 "$out/$tool.log"
    [ $code = 0 ] || { echo "$tool: exit code $code, see $tool.log"; failed=1; }
  done
  return $failed
}

part_kernels() {
  "$gamut" bench kernels device=$device shapes="$(sizes tiny device)" seconds="$(sizes 0.01 0.3)" \
    json="$out/kernels.json" &&
    "$gamut" bench kernels device=$device shapes="$(sizes tiny device)" seconds="$(sizes 0.01 0.2)" dtype=float32 \
      json="$out/kernels_float32.json" delta ssd >"$out/kernels_float32.txt"
}

# Flash-linear-attention's Triton kernels at the shapes of kernels.json.
part_fla() {
  local python=${BENCH_PYTHON:-python3}
  [ -e "$out/kernels.json" ] || { echo "this part needs the part kernels"; return 77; }
  "$python" -c 'import torch, fla' 2>/dev/null || { echo "$python has no packages torch and fla"; return 77; }
  "$python" "$here/compare/fla.py" "$out/kernels.json" "$out/fla.json"
}

part_steps() {
  local failed=0 contexts
  contexts=$(sizes 64,128 1024,2048,4096,8192,16384,32768)
  "$gamut" bench step golf_long_context device=$device contexts="$contexts" d_model="$(sizes 32 0)" \
    repeats="$(sizes 1 0)" seconds="$(sizes 0.1 4)" \
    json="$out/step_golf.json" || failed=1
  "$gamut" bench step speech_21m device=$device context="$(sizes 8 1024)" batch="$(sizes 1 0)" repeats="$(sizes 1 0)" \
    json="$out/step_speech.json" || failed=1
  "$gamut" bench step quickstart device=$device context="$(sizes 8 1024)" d_model="$(sizes 16 192)" \
    repeats="$(sizes 1 0)" json="$out/step_quickstart.json" || failed=1
  return $failed
}

# --- The run ---------------------------------------------------------------------------------------------------------

run_part() {
  local began=$SECONDS code said script
  echo "=== $1"
  script="$(declare -p here out device gamut); $(declare -f sizes "part_$1"); part_$1"
  timeout "${PART_TIMEOUT:-900}" bash -c "$script" 2>&1 | tee "$out/$1.txt"
  code=${PIPESTATUS[0]}
  case $code in
    0) said="done" ;;
    77) said=skipped ;;
    124) said="stopped after ${PART_TIMEOUT:-900} s" ;;
    *) said="failed ($code)" ;;
  esac
  sed -i "/^$1\t/d" "$out/parts.txt" # of an earlier call with the same folder
  printf '%s\t%s\t%d s\n' "$1" "$said" $((SECONDS - began)) >>"$out/parts.txt"
  [ "$1" != facts ] || [ "$code" = 0 ] || return 1
}

for part in "${parts[@]}"; do
  [[ " ${chosen[*]} " == *" $part "* ]] || continue
  run_part "$part" || { echo "nothing else can run here; see $out/$part.txt" >&2; exit 1; }
done
echo "=== summary"
"$gamut" exec "$here/compare/gpu_summary.lua" "$out" || exit 1
! grep -qE '	(failed|stopped)' "$out/parts.txt"
