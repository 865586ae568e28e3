#!/usr/bin/env bash
# Times Gamut's audio codecs beside transformers' models of full size with the same random weights,
# both on 2 threads, alternately, and compares their codes and audio; see README.md.
#
#   tests/bench/codecs.sh [--list] [--seconds N] [CASE...]   a case, or the beginning of its name; default: all
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
exec "$python" "$here/compare/codecs_driver.py" --gamut "$gamut" "$@"
