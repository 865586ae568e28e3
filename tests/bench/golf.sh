#!/usr/bin/env bash
# The models of the long-context golf study beside a twin in PyTorch that was written from the study's description;
# see README.md.
#
#   tests/bench/golf.sh parity [OPTION...] [baseline|hybrid]   the same losses and gradients; --help
#   tests/bench/golf.sh speed [OPTION...] [CASE...]            tokens a second of both, in turns; --help
#
# GAMUT=/path/to/gamut and BENCH_PYTHON=/path/to/python use other programs than the checkout's own.
set -euo pipefail
case "${1:-}" in
  parity | speed) ;;
  *)
    echo "usage: golf.sh parity|speed [OPTION...] [NAME...]; golf.sh parity --help says more" >&2
    exit 2
    ;;
esac
exec "$(dirname -- "${BASH_SOURCE[0]}")/compare/start.sh" "golf_$1.py" "${@:2}"
