-- The study's text: raw text to a tokenizer and shards, once; what was cut off is gone on with, what changed is told.

package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local data = require("gamut").data
local json = require "gamut.native.json"
local system = require "gamut.native.system"
local process = require "gamut.native.process"
local testing = require "gamut.testing"
local text = require "golf.text"

local root = os.tmpname()
os.remove(root)
local source, folder = root .. "/texts", root .. "/study/text"

local WORDS = {"the", "state", "of", "attention", "holds", "what", "came", "before", "it", "and", "decays", "slowly"}

-- Documents of words in an order of its own each.
local function write_document(i)
  local words = {}
  for k = 1, 120 do words[k] = WORDS[(k * k + i * k + i) % #WORDS + 1] end
  system.write_file(("%s/%02d.txt"):format(source, i), table.concat(words, " ") .. ".\n")
end

system.make_directories(source)
for i = 1, 40 do write_document(i) end

local function settings(changes)
  local all = {vocab_size = 320, validation = 0.2, seed = 3, field = "text", exclude = "", trainer = {}}
  for key, value in pairs(changes or {}) do all[key] = value end
  return all
end

local function first_tokens(made, split)
  local set = data.shards(made.data, {split = split, vocab_size = 320})
  return table.concat(set:read(0, 50):tolist(), " ")
end

-- A script that prepares the same text and prints only whether it had to wait, and that it is done.
local function second_process()
  local path = root .. "/second.lua"
  system.write_file(path, ([[
package.path = %q
local written = print
function print(line) if line:find "; waiting for it" then written "waiting for it" io.stdout:flush() end end
local settings = {vocab_size = 320, validation = 0.2, seed = 3, field = "text", exclude = "", trainer = {}}
require("golf.text").prepare(%q, %q, settings)
written "done"
]]):format(package.path, source, folder))
  return path
end

local made
testing.test("text: a model with the study's special ids, and shards by it with whole documents held out", function()
  made = text.prepare(source, folder, settings())
  local tokenizer = require("gamut").tokenizer("sentencepiece", {model = made.tokenizer})
  testing.equal({tokenizer.vocab_size <= 320, tokenizer.special_ids.bos}, {true, 1})
  local manifest = json.decode(system.read_file(made.data .. "/manifest.json"))
  local train, val = manifest.splits.train, manifest.splits.val
  testing.equal(train.documents + val.documents, 40)
  assert(val.documents >= 2 and val.documents <= 16, val.documents .. " documents are held out")
  for split, counts in pairs{train = train, val = val} do
    local set = data.shards(made.data, {split = split, vocab_size = 320})
    testing.equal(set.tokens, counts.tokens)
    local starts = set:read(0, set.tokens):eq(1):sum():item()
    testing.equal(starts, counts.documents)
  end
  local sources = system.read_file(made.data .. "/sources.jsonl")
  assert(sources:match '"name":"([^"]*)"' ~= "01.txt", "the documents stand in the order of their names")
end)

testing.test("text: a second call changes no byte", function()
  local model, shard = system.sha256(made.tokenizer), made.data .. "/text_train_000000.bin"
  local before = system.sha256(shard)
  testing.equal(text.prepare(source, folder, settings()), made)
  testing.equal({system.sha256(made.tokenizer), system.sha256(shard)}, {model, before})
end)

testing.test("text: a call that was cut off between the two goes on, to the same shards", function()
  local train, val = first_tokens(made, "train"), first_tokens(made, "val")
  local model = system.sha256(made.tokenizer)
  os.execute(("rm -r '%s'"):format(made.data))
  text.prepare(source, folder, settings())
  testing.equal({first_tokens(made, "train"), first_tokens(made, "val")}, {train, val})
  os.execute(("rm -r '%s' '%s'"):format(made.data, made.tokenizer))
  text.prepare(source, folder, settings())
  testing.equal({first_tokens(made, "train"), system.sha256(made.tokenizer)}, {train, model})
end)

testing.test("text: other settings, another text and a changed one are refused", function()
  local function refused(changes, message)
    testing.raises(function() text.prepare(source, folder, settings(changes)) end, message)
  end
  refused({vocab_size = 330}, "vocab_size = 320, and now it is 330")
  refused({trainer = {split_digits = false}}, "trainer = {}")
  refused({exclude = "01"}, "exclude = nothing, and now it is 01")
  testing.raises(function() text.prepare(source .. "/01.txt", folder, settings()) end, "text = " .. source)
  write_document(41)
  testing.raises(function() text.prepare(source, folder, settings()) end, "files were added, removed or written to")
  os.remove(source .. "/41.txt")
  testing.equal(text.prepare(source, folder, settings()), made)
end)

testing.test("text: raw text that was taken away leaves what was made of it", function()
  os.rename(source, root .. "/elsewhere")
  testing.equal(text.prepare(source, folder, settings()), made)
  os.rename(root .. "/elsewhere", source)
  testing.raises(function() text.prepare(root .. "/nowhere", root .. "/other", settings()) end, "there is no text at")
end)

testing.test("text: one document cannot be on both sides", function()
  testing.raises(function()
    text.prepare(source .. "/02.txt", root .. "/single", settings{vocab_size = 290})
  end, "1 documents, and all of them fell to one side")
end)

testing.test("text: two processes do not prepare one folder at once", function()
  local claim = process.claim(folder .. "/.lock")
  local other = io.popen(("'%s/bin/gamut' exec '%s' 2>&1"):format(os.getenv "GAMUT_BUILD", second_process()))
  testing.equal(other:read "l", "waiting for it")
  claim:release()
  testing.equal(other:read "a", "done\n")
  other:close()
end)

os.execute(("rm -r '%s'"):format(root))
testing.finish()
