#!/usr/bin/env bash
# Times Gamut's audio codecs beside transformers' models of full size with the same random weights,
# both on 2 threads, alternately, and compares their codes and audio; see README.md.
#
#   tests/bench/codecs.sh [--list] [--seconds N] [CASE...]   a case, or the beginning of its name; default: all
#
# GAMUT=/path/to/gamut and BENCH_PYTHON=/path/to/python use other programs than the checkout's own.
exec "$(dirname -- "${BASH_SOURCE[0]}")/compare/start.sh" codecs_driver.py "$@"
