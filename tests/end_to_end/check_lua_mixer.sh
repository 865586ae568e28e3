#!/usr/bin/env bash
# gamut check FILE.lua: the conformance suite on mixers that a script registers.
set -u
fail() { echo "FAILED: $1"; cat out 2>/dev/null; exit 1; }

"$GAMUT" check "$GAMUT_SOURCE/scripts/gamut/nn/mixers/linear_attention.lua" >out 2>&1 || fail "a sound mixer"
grep -q "linear_attention.*checks, all ok" out || fail "the summary of a sound mixer"

# A mixer that looks one step ahead: the suite must see it.
cat >peeks.lua <<'LUA'
local gamut = require "gamut"
local nn = gamut.nn
local Peeks = nn.module "Peeks"
function Peeks:init(options) self.scale = nn.parameter(gamut.ones{options.d_model}) end
function Peeks:new_state(batch) return nn.state{{"none", gamut.zeros{batch}}} end
function Peeks:forward(x, context)
  local state, documents = context.state, nn.documents(context, x)
  if state then state.position = state.position + x.shape[2] end
  return (documents and x or x + x:roll({-1}, {1})) * self.scale
end
nn.register_mixer("peeks", Peeks, {{"d_model", "integer", min = 1, doc = "width"}})
LUA
"$GAMUT" check peeks.lua >out 2>&1; code=$?
[ $code -eq 4 ] || fail "a mixer that looks ahead gave exit code $code, not 4"
grep -q "FAILED.*causality: future inputs.*change when later inputs do" out || fail "causality was not told"

echo 'local gamut = require "gamut"' >nothing.lua
"$GAMUT" check nothing.lua >out 2>&1 && fail "a script without a mixer passed"
grep -q "registers no mixer" out || fail "a script without a mixer was not told"

echo 'error("oh no")' >broken.lua
"$GAMUT" check broken.lua >out 2>&1; code=$?
[ $code -eq 1 ] || fail "a broken script gave exit code $code, not 1"
grep -q "broken.lua:1: oh no" out || fail "the line of a broken script"
echo ok
