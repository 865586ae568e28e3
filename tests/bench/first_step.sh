#!/usr/bin/env bash
# Seconds from launch to the end of a first training step, Gamut beside PyTorch from Python:
# whole processes, run alternately, medians.
#
#   tests/bench/first_step.sh build/release/bin/gamut python3 [RUNS]
set -euo pipefail

gamut=$1 python=$2 runs=${3:-7}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

seconds() {  # command...: its wall-clock seconds
  local began=$EPOCHREALTIME
  "$@" >/dev/null
  awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}'
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

ours=() theirs=()
seconds "$gamut" exec "$here/first_step.lua" >/dev/null  # both once, to fill the page cache
seconds "$python" "$here/first_step.py" >/dev/null
for ((i = 0; i < runs; i++)); do
  ours+=("$(seconds "$gamut" exec "$here/first_step.lua")")
  theirs+=("$(seconds "$python" "$here/first_step.py")")
done
a=$(printf '%s\n' "${ours[@]}" | median)
b=$(printf '%s\n' "${theirs[@]}" | median)
printf 'launch to first step, median of %d: gamut %s s, torch %s s, %.1f times faster\n' \
  "$runs" "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN {print b / a}')"
