#!/usr/bin/env bash
# `./gamut fuzz` builds the fuzz targets with Clang and runs each of them for a bounded time, as many
# at once as there are cores. Starts from tests/fuzz/corpus; what is new is kept in build/fuzz/found,
# what crashes in build/fuzz/crashes, and the call then fails.
# Usage: fuzz.sh [SECONDS a target], after set-up.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
state="$root/.gamut"
build="$root/build/fuzz"
seconds=${1:-60}
cd "$root"
# shellcheck source=third_party/progress.sh
. third_party/progress.sh
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || die "\`$seconds\` is no number of seconds; ./gamut fuzz takes how long each target runs."

configure() {
  cmake -S "$root" -B "$build" -G Ninja -DGAMUT_FUZZ=ON -DCMAKE_C_COMPILER=clang \
    -DCMAKE_CXX_COMPILER=clang++ -DGAMUT_LIBTORCH="${GAMUT_LIBTORCH:-}"
}

compile() { cmake --build "$build" --target fuzzers; }

# Runs one target. Inputs longer than 16 KB reach nothing that shorter ones do not.
fuzz_one() { # name
  local found="$build/found/$1" log="$build/$1.log"
  mkdir -p "$found" "$build/crashes"
  # Leaks cannot be told where a container forbids ptrace; every build replays the corpus anyway.
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0 \
    "$build/bin/gamut_fuzz_$1" "$found" "tests/fuzz/corpus/$1" -max_total_time="$seconds" \
    -max_len=16384 -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$build/crashes/$1-" >"$log" 2>&1
}

fuzz_all() {
  export -f fuzz_one
  export build seconds
  # shellcheck disable=SC2016 # the inner shell expands it
  printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$1"' _ {}
}

if ! step fuzz_configure "configuring the fuzz targets" configure ||
  ! step fuzz_build "building the fuzz targets" compile; then
  show_log fuzz_build '^FAILED|^ninja: error|^CMake Error'
  die "The fuzz targets could not be built."
fi
names=()
for source in tests/fuzz/*_fuzz.cpp; do
  source=${source##*/}
  names+=("${source%_fuzz.cpp}")
done
status=0
step fuzz "fuzzing ${#names[@]} parsers, $seconds s each" fuzz_all || status=$?
for name in "${names[@]}"; do
  log="$build/$name.log"
  runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log")
  if [ -n "$runs" ]; then
    say "$name: $runs inputs, nothing found"
  else
    tail -n 40 "$log" >&2
    say "$name: FAILED. The input is in build/fuzz/crashes; once it is understood, add it to tests/fuzz/corpus/$name."
    status=1
  fi
done
((status == 0))
