#!/usr/bin/env bash
# gamut report and gamut compare on run folders: pages are written, mistakes are told in a sentence.
set -eu

make_run() { # folder, learning rate, loss
  mkdir -p "$1"
  printf '{"study": "tiny", "status": "finished"}' > "$1/run.json"
  printf 'lr: %s\nseed: 1\n' "$2" > "$1/config.yaml"
  printf '{"step":1,"train_loss":%s}\n{"step":2,"train_loss":%s}\n' "$3" "$3" > "$1/metrics.jsonl"
}

expect() { # text, file
  grep -qF -- "$1" "$2" || { echo "expected in $2: $1"; cat "$2"; exit 1; }
}

refuse() { # expected text, command...
  local text=$1
  shift
  if "$@" > refused.txt 2>&1; then echo "should have failed: $*"; exit 1; fi
  expect "$text" refused.txt
}

make_run a 0.1 2.5
make_run b 0.2 1.5

"$GAMUT" report a/ > report.txt
expect "a/report.html" report.txt
expect "<title>tiny · Gamut</title>" a/report.html

"$GAMUT" compare a b -o both.html > compare.txt
expect "training loss" compare.txt
expect "lr" compare.txt
if grep -q seed compare.txt; then echo "FAILED: compare shows what is equal"; exit 1; fi
expect "2 runs compared" both.html

refuse "nothing is not a run folder" "$GAMUT" report nothing
refuse "nothing is not a run folder" "$GAMUT" compare a nothing
refuse "At least 2 required" "$GAMUT" compare a
refuse "cannot create nowhere/" "$GAMUT" compare a b -o nowhere/x.html
echo "report and compare work"
