#!/usr/bin/env bash
# Times Gamut's operators and the training step of a whole model beside the same work in Python, both
# on 2 threads, alternately, and prints a table; see README.md.
#
#   tests/bench/mixers.sh [--list] [CASE...]      a case, or the beginning of its name; default: all
#
# GAMUT=/path/to/gamut and BENCH_PYTHON=/path/to/python use other programs than the checkout's own.
exec "$(dirname -- "${BASH_SOURCE[0]}")/compare/start.sh" driver.py "$@"
