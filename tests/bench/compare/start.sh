#!/usr/bin/env bash
# Starts a driver of this folder with what both sides of a comparison need: the built program,
# Python with its packages, two threads.
#
#   start.sh DRIVER.py [ARGUMENT...]
#
# GAMUT=/path/to/gamut and BENCH_PYTHON=/path/to/python use other programs than the checkout's own.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
gamut=${GAMUT:-$here/../../../build/release/bin/gamut}
if [ ! -x "$gamut" ]; then
  echo "there is no $gamut; build it first: ./gamut build" >&2
  exit 1
fi
python=$("$here/../environment.sh")
# Threads that wait sleep soon instead of spinning: the other side of the comparison is about to run.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}" OMP_NUM_THREADS=2 TRANSFORMERS_VERBOSITY=error
driver=$here/$1
shift
exec "$python" "$driver" --gamut "$gamut" "$@"
