#!/usr/bin/env bash
# gamut data inspect as a user meets it: what it says of shards, the stretch it decodes, and one
# sentence for each file that is not as it should be.
set -euo pipefail

codecs="$GAMUT_SOURCE/tests/data/codecs"
weights="$codecs/dac_tiny_orig.safetensors"

fail() {
  echo "FAILED: $*"
  exit 1
}
says() { # text, arguments...: it succeeds and prints that
  local text=$1 output
  shift
  output=$("$GAMUT" data inspect "$@" 2>&1) || fail "exit $? of $*: $output"
  [[ $output == *"$text"* ]] || fail "$* says: $output"
}
refuses() { # text, arguments...: one sentence on stderr
  local text=$1 output status=0
  shift
  output=$("$GAMUT" data inspect "$@" 2>&1) || status=$?
  [ "$status" = 1 ] || fail "exit $status of $*: $output"
  [[ $output == *"gamut: "*"$text"* ]] || fail "$* says: $output"
  [[ $output != *"Exception raised"* ]] || fail "$* shows a C++ stack"
}

cat >make.lua <<'LUA'
local gamut = require "gamut"
local weights = arg[1]
local dac = gamut.tokenizer("dac", {weights = weights})
local digest = assert(io.popen("sha256sum '" .. weights .. "'")):read "a":match "^%x+"
local function write(split, identity)
  local writer = gamut.data.code_writer{
    folder = ".", split = split, sample_rate = 44100, hop_length = 512, codebooks = 9, vocab_size = 1024,
    tokenizer = {name = "dac", version = "1.0.0", options = {weights = weights}, identity = {weights_sha256 = identity}},
  }
  local codes = gamut.arange(9 * 200):reshape{9, 200}:mul(7):remainder(1024)
  writer:append(codes:slice(1, 0, 3), {name = "first"})
  writer:append(codes, {name = "second", text = "What is said.", samples = 102000, sample_rate = 44100})
  writer:finish()
  return codes
end
local codes = write("train", digest)
write("other", ("0"):rep(64))
gamut.data.write_audio("whole.wav", dac:decode(codes))
LUA
"$GAMUT" exec make.lua "$weights"

says "2 items, 203 frames, 2.36 s" train_000000.safetensors
says "checksums    right" train_000000.safetensors
says "second  What is said." train_000000.safetensors item=second
says "2.31 s of item 1 (second), 1 channel at 44100 Hz" train_000000.safetensors item=second seconds=0 out=second.wav
says "1.01 s of item 1" . split=train item=1 start=0.5 seconds=1 out=part.wav
says "out.flac: 0.03 s of item 0 (first)" train_000000.safetensors codebooks=3 out=out.flac

# A stretch sounds as it does inside of the whole; the whole ends where the recording did.
cat >compare.lua <<'LUA'
local data = require("gamut").data
local whole = data.read_audio("whole.wav").samples
local second, part = data.read_audio("second.wav").samples, data.read_audio("part.wav").samples
assert(second:size(1) == 102000 and part:size(1) == 87 * 512)
local function difference(samples, begin) return (whole:slice(1, begin, begin + samples:size(1)) - samples):abs():max():item() end
for begin, stretch in pairs{[0] = second, [43 * 512] = part} do
  local found = difference(stretch, begin)
  assert(found <= 1 / 32768, "the stretch at " .. begin .. " differs by " .. found)
end
LUA
"$GAMUT" exec compare.lua

cp "$weights" elsewhere.safetensors
says "0.03 s of item 0" train_000000.safetensors out=moved.wav tokenizer.weights=elsewhere.safetensors
cat >change.lua <<'LUA'
local gamut = require "gamut"
local tensors, metadata = gamut.safetensors.load "elsewhere.safetensors"
tensors[1][2]:add_(1)
gamut.safetensors.save("changed.safetensors", tensors, metadata)
LUA
"$GAMUT" exec change.lua
refuses "differ in weights_sha256" train_000000.safetensors out=no.wav tokenizer.weights=changed.safetensors
refuses "differ in weights_sha256" other_000000.safetensors out=no.wav
refuses "differ in weights_sha256" .
[ ! -e no.wav ] || fail "audio was written all the same"

refuses "there is no item \`third\`" train_000000.safetensors item=third
refuses "there is nothing at 9" train_000000.safetensors item=1 start=9 out=no.wav
refuses "must end in .wav or .flac" train_000000.safetensors out=no.mp3
refuses "no setting \`sart\`; did you mean \`start\`?" train_000000.safetensors sart=1
refuses "there is no file or folder none" none
head -c 3000 train_000000.safetensors >cut.safetensors
refuses "cut.safetensors is truncated or damaged" cut.safetensors
cp train_000000.safetensors damaged.safetensors
printf '\001' | dd of=damaged.safetensors bs=1 seek=$(($(stat -c %s damaged.safetensors) - 900)) conv=notrunc 2>/dev/null
refuses "damaged.safetensors is damaged: the XXH3 of \`codes\`" damaged.safetensors
refuses "is no codes shard" "$weights"

# Tokens of text: what made them is named, or recorded in a manifest beside them.
cat >text.lua <<'LUA'
local gamut = require "gamut"
local bytes = gamut.tokenizer "bytes"
local writer = gamut.data.shard_writer{folder = ".", prefix = "x_train"}
writer:append(bytes:encode "The quick brown fox jumps over the lazy dog.")
writer:finish()
LUA
"$GAMUT" exec text.lua
says "44 tokens" x_train_000000.bin
says "The quick brown" x_train_000000.bin tokenizer=bytes
says "text.txt: 5 bytes of text" x_train_000000.bin tokenizer=bytes token=4 tokens=5 out=text.txt
[ "$(cat text.txt)" = quick ] || fail "the text is $(cat text.txt)"
refuses "does not say which tokenizer made it" x_train_000000.bin out=text.txt
