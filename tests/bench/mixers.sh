#!/usr/bin/env bash
# Times Gamut's operators and the training step of a whole model beside the same work in Python, both
# on 2 threads, alternately, and prints a table; see README.md.
#
#   tests/bench/mixers.sh [--list] [CASE...]      a case, or the beginning of its name; default: all
#
# GAMUT=/path/to/gamut and BENCH_PYTHON=/path/to/python use other programs than the checkout's own.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
gamut=${GAMUT:-$here/../../build/release/bin/gamut}
if [ ! -x "$gamut" ]; then
  echo "there is no $gamut; build it first: ./gamut build" >&2
  exit 1
fi
python=$("$here/environment.sh")
# Threads that wait sleep soon instead of spinning: the other side of the comparison is about to run.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}" OMP_NUM_THREADS=2 TRANSFORMERS_VERBOSITY=error
exec "$python" "$here/compare/driver.py" --gamut "$gamut" "$@"
