-- Token data: shards, batches to train on, windows to validate on, text made into tokens.
--
--   local set = data.shards("fineweb10B_sp1024", {split = "train", vocab_size = 1024})
--   local batches = data.batches(set, {batch = 8, context = 1024, order = "shuffled", seed = 1})
--   local x, y = batches:next()

local check = require "gamut.options"
local codes = require "gamut.data.codes"
local corpus = require "gamut.data.corpus"
local native = require "gamut.native.data"
local preparation = require "gamut.data.preparation"
local strict = require "gamut.strict"

---@class gamut.data.TokenSet
---@field tokens integer
---@field files string[]
---@field fingerprint string of names, sizes and contents
---@field vocab_size integer what ids are checked against as they are read
---@field read fun(self, begin: integer, count: integer): gamut.Tensor int64 [count], wrapping
---@field verify fun(self) reads everything, for ids outside of the vocabulary

local data = strict("gamut.data", {
  batches = require "gamut.data.loader",
  text_corpus = corpus.text_corpus,
  default_text = corpus.default_text,
  prepare = preparation.prepare,
  train_tokenizer = require "gamut.data.tokenizers",
  codes = codes.codes,
  code_batches = codes.code_batches,
  code_windows = codes.code_windows,
  code_writer = codes.code_writer,
  read_audio = codes.read_audio,
  write_audio = codes.write_audio,
  patterns = require "gamut.data.patterns",
})

---Shards in the format of Parameter Golf as one sequence of tokens.
---@param paths string|string[] files, patterns, or folders (their *.bin)
---@param options? {split?: "train"|"val", vocab_size?: integer} split: of a folder, what has it in its name
---@return gamut.data.TokenSet
function data.shards(paths, options)
  options = check("data.shards", options, {split = "string?", vocab_size = "integer?"})
  if type(paths) == "string" then paths = {paths} end
  if type(paths) ~= "table" then
    error(("data.shards takes a path or a list of paths, got a %s"):format(type(paths)), 2)
  end
  local files = {}
  for _, path in ipairs(paths) do
    for _, file in ipairs(native.find_shards(path, options.split)) do files[#files + 1] = file end
  end
  return native.token_set(files, options.vocab_size)
end

---@class gamut.data.Windows
---@field batches integer
---@field tokens integer that are scored
local Windows = {}
Windows.__index = Windows

---Validation windows as Parameter Golf scores them: disjoint, in order, each without what came
---before it; tokens that do not fill a window are left out. The last batch may be smaller.
---@param set gamut.data.TokenSet
---@param options {batch: integer, context: integer, max_tokens?: integer} max_tokens: rounded down to windows
---@return gamut.data.Windows
function data.windows(set, options)
  check("data.windows", options, {batch = "integer", context = "integer", max_tokens = "integer?"})
  local source = native.windows(set, options)
  local self = setmetatable({source = source}, Windows)
  self.batches, self.tokens = source:counts()
  return self
end

---Iterates: `for x, y in windows:each() do`, each int64 [<= batch, context].
function Windows:each()
  local index = -1
  return function()
    index = index + 1
    if index < self.batches then return self.source:at(index) end
  end
end

---Writes shards: `writer:append(ids)` any number of times, then `writer:finish()`, which returns
---their paths. A shard appears under its name when it is complete.
---@param options {folder: string, prefix?: string, vocab_size?: integer, shard_tokens?: integer}
function data.shard_writer(options)
  return native.shard_writer(check("data.shard_writer", options, {
    folder = "string", prefix = "string?", vocab_size = "integer?", shard_tokens = "integer?",
  }))
end

return data
