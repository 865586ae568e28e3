#!/usr/bin/env bash
# Makes the Python environment of the benches, once, and prints its interpreter.
#
#   tests/bench/environment.sh [FOLDER]      default: build/bench_python of this checkout
#
# BENCH_PYTHON=/path/to/python uses an environment that is there already.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [ -n "${BENCH_PYTHON:-}" ]; then
  echo "$BENCH_PYTHON"
  exit
fi
folder=${1:-$here/../../build/bench_python}
if ! cmp -s "$here/requirements.txt" "$folder/installed.txt"; then
  echo "making the benches' Python environment in $folder" >&2
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --requirement "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$folder/installed.txt"
fi
echo "$folder/bin/python"
