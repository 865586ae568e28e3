#!/bin/sh
# Costs of small operators from Lua and from Python side by side; see README.md.
#   op_call.sh GAMUT PYTHON [CALLS]
set -eu
gamut=$1 python=$2 calls=${3:-20000}
here=$(dirname "$0")
for _ in 1 2 3; do
  "$gamut" exec "$here/op_call.lua" "$calls" | sed 's/^/lua /'
  "$python" "$here/op_call.py" "$calls" | sed 's/^/python /'
done | awk '
  { key = $1 " " $2; if (!(key in best) || $3 < best[key]) best[key] = $3 }
  $1 == "lua" && !($2 in seen) { seen[$2] = 1; order[++n] = $2 }
  END {
    printf "%-16s %9s %9s %7s\n", "ns a call", "Lua", "Python", "ratio"
    for (i = 1; i <= n; ++i) {
      lua = best["lua " order[i]]; python = best["python " order[i]]
      printf "%-16s %9d %9d %7.2f\n", order[i], lua, python, lua / python
    }
  }'
