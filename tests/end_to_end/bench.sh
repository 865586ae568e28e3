#!/bin/sh
# gamut bench and the one command for GPU machines: what they measure at tiny sizes, and what they refuse.
# shellcheck disable=SC2015,SC2016,SC2086 # fail exits; messages quote names in backticks; words are several
set -eu
fail() { echo "FAILED: $1" >&2; exit 1; }
expect() { # expect CODE PATTERN COMMAND...
  wanted=$1 pattern=$2; shift 2
  code=0; "$@" >out 2>&1 || code=$?
  [ "$code" = "$wanted" ] || { cat out >&2; fail "$*: exit code $code, expected $wanted"; }
  grep -q -- "$pattern" out || { cat out >&2; fail "$*: no \`$pattern\`"; }
}
bench() { expect "$1" "$2" "$GAMUT" bench "$3" $4; }

echo "--- what is refused"
expect 2 'subcommand' "$GAMUT" bench
expect 2 'no verb `kernel`; did you mean `kernels`?' "$GAMUT" bench kernel
bench 1 'no operator is called `ropes`; did you mean `rope`?' kernels ropes
bench 1 'has no setting `shape`; did you mean `shapes`?' kernels shape=tiny
bench 1 'shapes' kernels shapes=huge
bench 1 'device `cuda` was asked for, but no CUDA device answers' parity device=cuda
bench 1 'there is no nowhere/bench.lua' step nowhere
bench 1 'has no setting `contxt`; did you mean `context`?' step 'quickstart contxt=3'
bench 1 '`fast` is not of the form key=value' step 'quickstart fast'
bench 1 'graph=on needs a CUDA device' step 'quickstart graph=on device=cpu'
bench 1 'tokens=100 are not accumulate=1 times a whole number of sequences of 64' step \
  'golf_long_context contexts=64 tokens=100 architectures=hybrid d_model=32 device=cpu'

echo "--- help"
bench 0 'rotation .* 256' kernels --help
bench 0 'seed=\|seed ' parity --help
bench 0 'architectures  *baseline,hybrid' step 'golf_long_context --help'

echo "--- a folder of one's own"
mkdir mine
cat >mine/bench.lua <<'LUA'
local gamut = require "gamut"
return {
  doc = "one matrix", settings = { { "width", "integer", default = 4, min = 1, doc = "of it" } },
  cases = function(given)
    return { { label = "good", make = function()
      local model = gamut.nn.Linear(given.width, given.width)
      return {
        model = model, optimizers = { gamut.optim.adamw { { params = model:named_parameters() }, lr = 0.1 } },
        loss = function() return model(gamut.ones { 2, given.width }):pow(2):mean() end, accumulate = 3, tokens = 6,
        is_product = function() return true end, mixers = {}, dtype = "float32",
      }
    end }, { label = "bad", make = function() error "no such model" end } }
  end,
}
LUA
bench 1 'good: .* parameters, 6 tokens a step' step './mine width=8 device=cpu repeats=3'
grep -q 'bad: FAILED: .*no such model' out && grep -q '1 of 2 cases failed' out || { cat out; fail "a case that fails"; }
grep -q 'forward .*backward .*update' out || fail "the parts of a step"

echo "--- the command for GPU machines, rehearsed, with a stand-in for the sanitizer"
gpu=$GAMUT_SOURCE/tests/bench/gpu.sh
export GAMUT
expect 2 'no part kernel; it has facts device parity' "$gpu" kernel
expect 2 'no option --fast' "$gpu" --fast
mkdir tools
cat >tools/compute-sanitizer <<'SH'
#!/bin/sh
[ "$1" != --help ] || { echo "  --kernel-name arg"; exit; }
echo "$@" >>"$SANITIZER_CALLS"
case $* in *"--tool $BROKEN_TOOL"*) echo "ERROR SUMMARY: 3 errors"; exit 9 ;; esac
while [ "$1" != "$GAMUT" ]; do shift; done
exec "$@"
SH
chmod +x tools/compute-sanitizer
PATH=$PWD/tools:$PATH SANITIZER_CALLS=$PWD/calls BROKEN_TOOL=none BENCH_PYTHON=false
export PATH SANITIZER_CALLS BROKEN_TOOL BENCH_PYTHON
expect 0 'All files are in' "$gpu" --rehearse --out folder
for pattern in '| parity | done |' '| sanitizer | done |' '| fla | skipped |' '| steps | done |' '0 outside of their bounds' \
  '| tiny (1, 70, 2, 4, 12, 20) |' '| hybrid at 64 |' '| speech 21.9M, bfloat16 |' 'Golf: '; do
  grep -qF -- "$pattern" folder/summary.md || { cat folder/summary.md; fail "the summary has no \`$pattern\`"; }
done
grep -q -- '--tool racecheck --kernel-name kns=gamut' calls || fail "the sanitizer's options"
python3 - <<'PY'
import json
kernels = json.load(open("folder/kernels.json"))
assert kernels["ceilings"]["bytes"] > 0 and len(kernels["results"]) >= 18, kernels
rule = kernels["results"][0]
assert rule["shape"] == {"B": 1, "T": 70, "H": 2, "HV": 4, "K": 12, "V": 20}, rule
assert rule["training"]["median"] > 0 and rule["forward_floor"]["ms"] > 0 and rule["backward"]["calls"] >= 5, rule
steps = json.load(open("folder/step_golf.json"))["cases"]
assert [case["context"] for case in steps] == [64, 64, 128, 128] and steps[0]["work"]["flop"] > 0, steps
PY
# A tool that finds something: told, the folder's other parts stand, and the exit code says so.
BROKEN_TOOL=synccheck expect 1 'synccheck: exit code 9' "$gpu" --rehearse --out folder sanitizer
grep -qF '| sanitizer | failed (1) |' folder/summary.md && grep -qF '| steps | done |' folder/summary.md || fail "a failed part"
python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$GAMUT_SOURCE/tests/bench/compare/fla.py" ||
  fail "fla.py"
echo "bench: passed"
