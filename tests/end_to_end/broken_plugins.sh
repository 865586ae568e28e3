#!/usr/bin/env bash
# Plugins that are refused, crash, hang or break their contract: each gives a sentence and an exit
# status, and never takes the program down that only asks about it.
# shellcheck disable=SC2015 # fail exits
set -euo pipefail

plugins=$GAMUT_BUILD/tests/plugins
fail() { echo "FAILED: $*"; exit 1; }
unset GAMUT_PLUGIN_PATH

# expect STATUS TEXT COMMAND...: runs the program, looks for the text in what it says.
expect() {
  local status=$1 text=$2 output code=0
  shift 2
  output=$("$GAMUT" "$@" 2>&1) || code=$?
  [ "$code" = "$status" ] || fail "gamut $*: exit $code, not $status: $output"
  grep -qF -- "$text" <<<"$output" || fail "gamut $*: no \`$text\` in: $output"
}
broken() { expect "$1" "$2" --plugin-path "$plugins/broken" "${@:3}"; }

echo "--- lists"
expect 0 "was built for LibTorch 1.13.1" --plugin-path "$plugins/refused" plugins
broken 0 crash_on_load plugins

echo "--- refused before they are opened"
expect 4 "was built for LibTorch 1.13.1" --plugin-path "$plugins/refused" check libtorch
expect 4 "was built for version 9." plugins show "$plugins/refused/sdk_major.so"
expect 4 "unknown plugin \`attentoin\`; did you mean \`attention\`?" check attentoin
printf 'hello\n' >text.so
expect 4 "text.so\` is not a shared library" check ./text.so
head -c 9000 "$plugins/faulty/faulty_mixer.so" >short.so
expect 4 "short.so\` is cut short" plugins show short.so

echo "--- crashes are reports"
broken 4 "it crashed: Segmentation fault; last operation: opening the library" plugins show crash_on_load
broken 4 "it crashed: Segmentation fault; last operation: opening the library" check crash_on_load
broken 4 "it ended the process by itself" check exit_on_load
broken 4 "it crashed: Segmentation fault; last operation: construction" check crash_in_constructor
broken 4 "it did not end within 2 seconds; last operation: construction" check hang --timeout 2
broken 4 "failed in construction: the weights are on holiday" check throw
broken 4 "a_function_that_nobody_defines" check unresolved

echo "--- broken contracts fail the check"
expect 0 "checks, all ok" --plugin-path "$plugins/faulty" check faulty_optimizer
expect 4 "FAILED  resumes exactly" --plugin-path "$plugins/faulty" check faulty_optimizer fault=aliases
expect 4 "FAILED  gradients " --plugin-path "$plugins/faulty" check faulty_mixer \
  fault=wrong_gradient d_model=8
expect 4 "allowed: \"none\"" --plugin-path "$plugins/faulty" check faulty_mixer fault=nonsense

echo "--- in a script"
cat >mixer.lua <<'LUA'
local gamut = require "gamut"
gamut.nn.mixer(arg[1], {})
LUA
twins=(--plugin-path "$plugins/twin_a:$plugins/twin_b")
expect 1 "there are two plugins for mixer \`twin\`" "${twins[@]}" exec mixer.lua twin
expect 0 "" "${twins[@]}" exec mixer.lua "$plugins/twin_b/twin.so"
broken 1 "mixer.lua:2" exec mixer.lua throw
broken 1 "the weights are on holiday" exec mixer.lua throw
