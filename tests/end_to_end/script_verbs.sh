#!/bin/sh
# exec, repl and stubs as a user meets them: output, exit codes, what Ctrl-C does.
# shellcheck disable=SC2016 # messages quote names in backticks
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $1" >&2; exit 1; }
expect() { # expect CODE PATTERN COMMAND...
  wanted=$1 pattern=$2; shift 2
  code=0; "$@" >out 2>&1 || code=$?
  [ "$code" = "$wanted" ] || { cat out >&2; fail "$*: exit code $code, expected $wanted"; }
  grep -q -- "$pattern" out || { cat out >&2; fail "$*: no \`$pattern\`"; }
}

echo 'print(require("gamut").ones{2} + #arg, ...)' >ok.lua
expect 0 'tensor(\[3., 3.\], float32\[2\]).a.--b' "$GAMUT" exec ok.lua a --b
# Help on what there is not is no help.
expect 2 'has no verb `exce`; did you mean `exec`?' "$GAMUT" exce --help
expect 2 'has no option `--thread`' "$GAMUT" --thread --help
expect 0 'Usage\|OPTIONS\|script' "$GAMUT" exec --help
# The options of a plugin fit the terminal.
expect 0 'Width of input' env COLUMNS=90 "$GAMUT" plugins show gdn
[ "$(awk 'length > 90' out | grep -c -v '^/')" = 0 ] || fail "plugins show is wider than the terminal"
expect 1 'already.*--force' "$GAMUT" new mixer gdn
expect 0 'Wrote' "$GAMUT" new mixer gdn --force

echo 'local g = require "gamut"
local function f(x) return (x:matmul(x)) end
f(g.ones{2, 3})' >bad.lua
expect 1 '^gamut: bad.lua:2: matmul: mat1 and mat2' "$GAMUT" exec bad.lua
expect 1 '    bad.lua:3: in main chunk' "$GAMUT" exec bad.lua
expect 1 'Exception raised from' "$GAMUT" --traceback full exec bad.lua
# A mistake that the library finds is told at the author's line, the library's own line with --traceback full.
echo 'local nn = require("gamut").nn
nn.Linear(3)' >library.lua
expect 1 '^gamut: library.lua:2: nn.Linear takes the widths' "$GAMUT" exec library.lua
expect 1 'module.lua:[0-9]*: nn.Linear takes the widths' "$GAMUT" --traceback full exec library.lua
echo 'local gamut = require "gamut"
gamut.nn.Linear(3, 4)(gamut.ones{2, 5})' >library.lua
expect 1 '^gamut: library.lua:2: in Linear: linear: mat1 and mat2' "$GAMUT" exec library.lua
expect 1 'there is no script missing.lua' "$GAMUT" exec missing.lua
echo 'x = = 1' >syntax.lua
expect 1 "syntax.lua:1: unexpected symbol near '='" "$GAMUT" exec syntax.lua
echo 'print("seven") os.exit(7, true)' >seven.lua
expect 7 seven "$GAMUT" exec seven.lua
expect 2 'subcommand' "$GAMUT"
expect 2 'threads' "$GAMUT" --threads none exec ok.lua
expect 2 'no verb `rn`; did you mean `run`?' "$GAMUT" rn
expect 2 '`run` has no option `--resme`; did you mean `--resume`?' "$GAMUT" run study --resme
expect 2 '`0` is not a number of threads' "$GAMUT" --threads 0 exec ok.lua
expect 0 'LibTorch 2' "$GAMUT" --version
expect 0 '^CUDA: not opened, as GAMUT_CUDA=0 says$' env GAMUT_CUDA=0 "$GAMUT" --version
expect 0 'GAMUT_CUDA is `yes`; it must be 1 (use it) or 0 (do not); computing on the CPU' \
  env GAMUT_CUDA=yes "$GAMUT" exec ok.lua
echo 'print(require("gamut").num_threads())' >threads.lua
expect 0 '^1$' "$GAMUT" --threads 1 exec threads.lua
# Modules beside the script.
mkdir -p study; echo 'return {answer = 42}' >study/helper.lua; echo 'print(require("helper").answer)' >study/main.lua
expect 0 '^42$' "$GAMUT" exec study/main.lua

# A signal raises an error at a safe point; SIGTERM does the same.
echo 'print("ready") io.stdout:flush() while true do end' >loop.lua
"$GAMUT" exec loop.lua >out 2>&1 & pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do grep -q ready out && break; sleep 0.3; done
kill -TERM $pid; code=0; wait $pid || code=$?
[ $code = 143 ] || fail "SIGTERM gave exit code $code"
grep -q interrupted out || fail "no word of the interruption"

printf 'x = gamut.ones{2}\nx + 1\nfor i = 1, 2 do\nprint(i)\nend\n? softmax\n' | "$GAMUT" repl >out 2>&1 || fail "repl"
grep -q 'tensor(\[2., 2.\]' out || fail "repl prints values"
grep -q '^2$' out || fail "repl reads statements over several lines"
grep -q 'softmax(Tensor self, integer dim' out || fail "repl help"
printf 'help\n? nn.Decoder\nhelp()\n' | "$GAMUT" repl >out 2>&1 || fail "repl help"
grep -q '^help(value) or .* help() says more' out || fail "help without a call helps"
grep -q 'next_logits' out || fail "? finds parts of the library that load when first used"
code=0; printf 'x:nothing()\n1 + 1\n' | "$GAMUT" repl >out 2>&1 || code=$?
[ $code = 1 ] || fail "an error in a piped repl must show in its exit code"
grep -q '^2$' out || fail "repl goes on after an error"

expect 0 'wrote gamut.lua, operators.lua and plugins.lua' "$GAMUT" stubs --out declarations
grep -q 'function gamut.softmax(self, dim, dtype) end' declarations/operators.lua || fail "operators.lua"
grep -q '"Lua 5.4"' .luarc.json || fail ".luarc.json"
echo '{}' >.luarc.json
expect 0 'kept your .luarc.json' "$GAMUT" stubs --out declarations
echo "script verbs: passed"
