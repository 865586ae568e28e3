#!/usr/bin/env bash
# gamut tokenizer train, encode and decode as a user meets them.
set -euo pipefail

codecs="$GAMUT_SOURCE/tests/data/codecs"
golf="model=$GAMUT_SOURCE/tests/data/tokenizers/golf.model"
dac="weights=$codecs/dac_tiny_orig.safetensors"

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
refuses() { # text, command...: one sentence on stderr
  local text=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  [ "$status" = 1 ] || fail "exit $status of $*: $output"
  [[ $output == "gamut: "*"$text"* ]] || fail "$* says: $output"
}
tokenizer() { "$GAMUT" tokenizer "$@"; }

# ---- training: text, gzip, JSON lines; what is no text is passed over
mkdir texts
for i in $(seq 300); do
  echo "{\"text\": \"the lonely preson number $i was there again, and the others were not\"}"
done >texts/a.jsonl
echo "no JSON" >>texts/a.jsonl
for i in $(seq 100); do echo "a line of words that come again and again, $i"; done | gzip >texts/b.txt.gz
head -c 1000 /bin/sh >texts/c.txt
train=(tokenizer train sentencepiece input=texts vocab_size=320)
says "1 lines are no documents" "${train[@]}" output=a.model
says "c.txt is binary" "${train[@]}" output=b.model
cmp a.model b.model
refuses "is there already" "${train[@]}" output=a.model
says "Wrote a.model" "${train[@]}" output=a.model --force
says "default 1024" tokenizer train sentencepiece
refuses "input=PATH says" tokenizer train sentencepiece output=x.model
refuses "output=FILE says" tokenizer train sentencepiece input=texts
refuses "there is no file or folder nowhere" tokenizer train sentencepiece input=nowhere output=x.model
refuses "did you mean \`vocab_size\`" tokenizer train sentencepiece input=texts output=x.model vocab_sise=3
refuses "is not trained from text" tokenizer train bytes input=texts output=x.model
refuses "there is no text to train on" tokenizer train sentencepiece input=texts/c.txt output=x.model
[ ! -e x.model ] || fail "a refused training left a file"

if [ -x "$(dirname "$GAMUT")/gamut-parquet-text" ]; then
  parquet=(tokenizer train sentencepiece input="$GAMUT_SOURCE/tests/data/text/documents.parquet" vocab_size=300)
  says "Wrote d.model" "${parquet[@]}" output=d.model long_documents=split
  refuses "has no column of text" "${parquet[@]}" output=e.model field=nothing
fi

# ---- text
printf 'the preson, 12 times\nand the loming \xc3\xa9' >text.txt
for ids in ids.bin ids.txt; do
  says "bytes became" tokenizer encode sentencepiece "$golf" text.txt "$ids"
  tokenizer decode sentencepiece "$golf" "$ids" - >"$ids.back"
done
cmp ids.bin.back ids.txt.back
[ "$(cat ids.txt.back)" = "the preson, 12 times and the loming é" ] || fail "$(cat ids.txt.back)"
[ "$(od -An -tu4 -N12 ids.bin | xargs)" = "20240520 1 $(($(wc -w <ids.txt) + 1))" ] || fail "header"
[ "$(od -An -tu2 -j1024 -N2 ids.bin | xargs)" = 1 ] || fail "a shard begins with BOS"
gzip -k text.txt
[ "$(tokenizer encode bytes text.txt.gz - 2>/dev/null | head -1 | cut -c1-11)" = "120 108 105" ] || fail gzip
tokenizer encode bytes - text.bin <text.txt 2>/dev/null
tokenizer decode bytes text.bin back.txt
cmp text.txt back.txt
refuses "holds no ids: at byte 0" tokenizer decode bytes text.txt x
refuses "is there already" tokenizer encode bytes text.txt back.txt
refuses "cannot read nothing" tokenizer encode bytes nothing x
refuses "and here are 1" tokenizer encode bytes text.txt

# ---- audio
cat >tone.lua <<'LUA'
local gamut = require "gamut"
local time = gamut.arange(8000) / 22050
gamut.data.write_audio("tone.wav", {samples = (gamut.sin(time * 1400) * 0.4):unsqueeze(0), sample_rate = 22050})
LUA
"$GAMUT" exec tone.lua
tokenizer encode dac "$dac" tone.wav tone.dac 2>/dev/null
tokenizer decode dac "$dac" tone.dac from_dac.wav
says "of 9 codebooks" tokenizer encode dac "$dac" tone.wav tone.safetensors
tokenizer decode dac "$dac" tone.safetensors from_shard.wav --float32 2>/dev/null
cat >compare.lua <<'LUA'
local gamut = require "gamut"
for _, name in ipairs{"from_dac.wav", "from_shard.wav"} do
  local audio = gamut.data.read_audio(name)
  assert(audio.sample_rate == 44100 and audio.samples:size(1) == 16000, name)
end
LUA
"$GAMUT" exec compare.lua
refuses "made by another tokenizer" tokenizer decode dac "weights=$codecs/dac_tiny_hf.safetensors" tone.safetensors x.wav
refuses "has 1 items, and --item is 2" tokenizer decode dac "$dac" tone.safetensors x.wav --item 2
refuses "should end in .dac" tokenizer encode dac "$dac" tone.wav tone.xyz
refuses "no audio file" tokenizer encode dac "$dac" text.txt x.dac
head -c 300 tone.dac >cut.dac
refuses "dac" tokenizer decode dac "$dac" cut.dac x.wav
if [ -e x.wav ] || [ -e x.dac ]; then fail "a refused conversion left a file"; fi
[ -z "$(find . -name '*.partial*')" ] || fail "left behind: $(find . -name '*.partial*')"
