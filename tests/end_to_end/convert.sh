#!/usr/bin/env bash
# gamut convert as a user meets it: what it writes and says, and one sentence for each wrong call.
set -euo pipefail

codecs="$GAMUT_SOURCE/tests/data/codecs"
torch="$GAMUT_SOURCE/tests/data/torch_files"

fail() {
  echo "FAILED: $*"
  exit 1
}
says() { # text, command...: it succeeds and prints that
  local text=$1 output
  shift
  output=$("$@" 2>&1) || fail "exit $? of $*: $output"
  [[ $output == *"$text"* ]] || fail "$* says: $output"
}
refuses() { # exit code, text, command...: one sentence on stderr, and nothing written
  local code=$1 text=$2 output status=0
  shift 2
  output=$("$@" 2>&1) || status=$?
  [ "$status" = "$code" ] || fail "exit $status instead of $code of $*: $output"
  [[ $output == "gamut: "*"$text"* ]] || fail "$* says: $output"
  [[ $output != *"Exception raised"* ]] || fail "$* shows a C++ stack"
}

says "301 tensors (301 F32)" "$GAMUT" convert "$codecs/dac_tiny_orig.pth" dac.safetensors
says "156 tensors" "$GAMUT" convert "$codecs/encodec_tiny_orig.th" encodec.safetensors
cat >compare.lua <<'LUA'
local gamut = require "gamut"
local ours, metadata = gamut.safetensors.load("dac.safetensors")
local twin = gamut.safetensors.load(os.getenv("GAMUT_SOURCE") .. "/tests/data/codecs/dac_tiny_orig.safetensors")
assert(#ours == 301 and #twin == 301)
for _, entry in ipairs(twin) do assert(ours[entry[1]]:equal(entry[2]), entry[1]) end
assert(metadata.kwargs:find('"encoder_rates":[2,4,8,8]', 1, true) and metadata.format == "pt")
print("equal")
LUA
says equal "$GAMUT" exec compare.lua

before=$(sha256sum dac.safetensors)
refuses 1 "dac.safetensors is there already; --force" "$GAMUT" convert "$codecs/dac_tiny_orig.pth" dac.safetensors
head -c 1000000 "$codecs/dac_tiny_orig.pth" >cut.pth
refuses 1 "truncated or no zip archive" "$GAMUT" convert cut.pth dac.safetensors --force
[ "$before" = "$(sha256sum dac.safetensors)" ] || fail "a refused call changed the file"
says "301 F16" "$GAMUT" convert "$codecs/dac_tiny_orig.pth" dac.safetensors --force --dtype float16
says "1 tensors" "$GAMUT" convert "$torch/two_models.pt" one.safetensors --key generator

echo "no checkpoint" >text.pth
printf 'PK\5\6%018d' 0 | tr 0 '\0' >empty.pth
refuses 1 "is text and no checkpoint" "$GAMUT" convert text.pth new.safetensors
refuses 1 "no file of torch.save" "$GAMUT" convert empty.pth new.safetensors
refuses 1 "before torch 1.6" "$GAMUT" convert "$torch/legacy.pt" new.safetensors
refuses 1 "whole module" "$GAMUT" convert "$torch/module.pt" new.safetensors
refuses 1 "TorchScript" "$GAMUT" convert "$torch/script.pt" new.safetensors
refuses 1 "several dictionaries of tensors" "$GAMUT" convert "$torch/two_models.pt" new.safetensors
refuses 1 "No such file" "$GAMUT" convert missing.pth new.safetensors
refuses 1 "no regular file" "$GAMUT" convert . new.safetensors
refuses 1 "No such file" "$GAMUT" convert "$torch/nested.pt" no/folder/new.safetensors
refuses 2 "does not end with .safetensors" "$GAMUT" convert "$torch/nested.pt" new.bin
refuses 2 "int8 not in" "$GAMUT" convert "$torch/nested.pt" new.safetensors --dtype int8
[ ! -e new.safetensors ] || fail "a refused call wrote a file"
[ -z "$(find . -name '.*.tmp')" ] || fail "a refused call left a temporary file"
echo "1 passed, 0 failed"
