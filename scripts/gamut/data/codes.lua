-- Codes of audio: shards as a set of items, windows of them to train on and to validate on, and
-- audio files.
--
--   local set = data.codes("tokens/ljspeech", {split = "train"})
--   local batches = data.code_batches(set, {batch = 16, frames = 600, minimum = 150, order = "shuffled"})
--   local tokens, lengths = batches:next()     -- int64 [16, codebooks, 600] and [16]

local check = require "gamut.options"
local native = require "gamut.native.codes"
local position = require "gamut.data.position"
local to_device = require "gamut.data.to_device"

local codes = {}

---@class gamut.data.CodeSet
---@field items integer
---@field frames integer of all items
---@field codebooks integer
---@field vocab_size integer codes are below it
---@field sample_rate integer Hz of the audio
---@field frame_rate number frames a second
---@field hop_length integer samples from frame to frame
---@field tokenizer {name: string, version: string, options: table, identity: table<string, string>}
---@field files string[]
---@field fingerprint string of names, sizes and contents
---@field item fun(self, index: integer): gamut.Tensor, table int64 [codebooks, frames], and what is known: name, text, …
---@field facts fun(self, index: integer): table without the codes
---@field length fun(self, index: integer): integer frames
---@field find fun(self, name: string): integer? the first item of that name
---@field verify fun(self) reads everything: checksums, codes outside of the vocabulary

---Codes shards as one set of items, numbered from 0. Shards of different tokenizers are refused.
---@param paths string|string[] files, patterns, or folders (their <split>_000000.safetensors and on)
---@param options? {split?: string} split: of a folder; all of them without
---@return gamut.data.CodeSet
function codes.codes(paths, options)
  options = check("data.codes", options, {split = "string?"})
  if type(paths) == "string" then paths = {paths} end
  if type(paths) ~= "table" then
    error(("data.codes takes a path or a list of paths, got a %s"):format(type(paths)), 2)
  end
  local files = {}
  for _, path in ipairs(paths) do
    for _, file in ipairs(native.find(path, options.split)) do files[#files + 1] = file end
  end
  return native.set(files)
end

---@class gamut.data.CodeWindow where the windows of a batch are from; all [batch], on the CPU
---@field items gamut.Tensor int64: the item of each
---@field starts gamut.Tensor int64: its first frame in the item
---@field ended gamut.Tensor bool: whether it holds the item's last frame

-- What gives positions their meaning.
local FIXED = {"cut", "frames", "minimum", "order", "seed"}

---@class gamut.data.CodeLoaderOptions
---@field batch integer windows a batch
---@field frames integer of a window
---@field cut? "chunks"|"crops" default: chunks
---@field minimum? integer frames that a window must hold; default 1
---@field order? "sequential"|"shuffled" default: sequential
---@field seed? integer of the shuffle and of the places of crops
---@field pad? integer what stands behind the end of a short window; default vocab_size
---@field prefetch? integer batches that lie ready at most; default 2, with 0 there is no thread
---@field device? string where codes and lengths are put

---@class gamut.data.CodeLoader
---@field fingerprint string of the set, for resuming on the same data
---@field windows integer of an epoch
---@field items_left_out integer items that are shorter than `minimum`
---@field pad integer
---@field set gamut.data.CodeSet
local Loader = {}
Loader.__index = Loader

local OPTIONS = {
  batch = "integer", frames = "integer", cut = "string?", minimum = "integer?", order = "string?",
  seed = "integer?", pad = "integer?", prefetch = "integer?", device = "string?",
}

-- One of two words, the first by default.
local function choice(who, options, name, first, second)
  local value = options[name] or first
  if value ~= first and value ~= second then
    error(("%s: %s must be %q or %q, got %q"):format(who, name, first, second, value), 3)
  end
  return value
end

local function check_set(who, set)
  if type(set) == "userdata" then return end
  error(("%s takes a code set, such as data.codes \"FOLDER\", then a table of options; got a %s")
    :format(who, type(set)), 3)
end

---Batches without end. `cut = "chunks"`: every item from its beginning in windows that follow each
---other, the last one kept if it has `minimum` frames. `cut = "crops"`: windows at random places,
---others in every epoch; of an item as long as n windows, n of them, one at least.
---A position counts windows, so a batch may hold the end of an epoch and the beginning of the next.
---@param set gamut.data.CodeSet
---@param options gamut.data.CodeLoaderOptions
---@return gamut.data.CodeLoader
function codes.code_batches(set, options)
  check_set("data.code_batches", set)
  check("data.code_batches", options, OPTIONS)
  local cut = choice("data.code_batches", options, "cut", "chunks", "crops")
  local order = choice("data.code_batches", options, "order", "sequential", "shuffled")
  local source = native.loader(set, {
    batch = options.batch, frames = options.frames, minimum = options.minimum, crops = cut == "crops",
    shuffled = order == "shuffled", seed = options.seed, pad = options.pad, prefetch = options.prefetch,
  })
  local self = setmetatable({
    source = source, set = set, cut = cut, order = order, frames = options.frames,
    minimum = options.minimum or 1, seed = options.seed or 0, device = options.device,
    fingerprint = set.fingerprint,
  }, Loader)
  self.windows, self.batches, self.items_left_out, self.pad = source:counts()
  return self
end

---@return gamut.Tensor codes int64 [batch, codebooks, frames]
---@return gamut.Tensor lengths int64 [batch]: frames that are codes; `pad` stands in those behind
---@return gamut.data.CodeWindow
function Loader:next()
  return to_device(self.device, self.source:next())
end

---Where the next batch begins, as a plain table; what lies ready in the queue does not count.
---@return table
function Loader:state() return position.save(self, FIXED) end

---Goes there. The batch size and the queue may differ from those of the saved loader; what gives
---positions their meaning may not.
---@param state table
function Loader:load_state(state) position.load(self, state, FIXED) end

---@class gamut.data.CodeWindows
---@field windows integer
---@field batches integer
---@field items_left_out integer items that are shorter than `minimum`
---@field pad integer
local Windows = {}
Windows.__index = Windows

---All chunks of a set once, in order, for validation; the last batch may be smaller.
---@param set gamut.data.CodeSet
---@param options {batch: integer, frames: integer, minimum?: integer, pad?: integer, device?: string}
---@return gamut.data.CodeWindows
function codes.code_windows(set, options)
  check_set("data.code_windows", set)
  check("data.code_windows", options, {
    batch = "integer", frames = "integer", minimum = "integer?", pad = "integer?", device = "string?",
  })
  local source = native.loader(set, {
    batch = options.batch, frames = options.frames, minimum = options.minimum, pad = options.pad, prefetch = 0,
  })
  local self = setmetatable({source = source, device = options.device}, Windows)
  self.windows, self.batches, self.items_left_out, self.pad = source:counts()
  return self
end

---Iterates: `for codes, lengths, window in windows:each() do`.
---@return fun(): gamut.Tensor?, gamut.Tensor?, gamut.data.CodeWindow?
function Windows:each()
  local index = -1
  return function()
    index = index + 1
    if index < self.batches then return to_device(self.device, self.source:of_epoch(index)) end
  end
end

---Writes codes shards: `writer:append(codes, {name = …, text = …})` any number of times, codes being
---integers [codebooks, frames], then `writer:finish()`, which returns the paths. `tokenizer` and the
---numbers are those that a set has.
---@param options {folder: string, split?: string, tokenizer: table, sample_rate: integer, hop_length: integer, frame_rate?: number, codebooks: integer, vocab_size: integer, shard_bytes?: integer}
function codes.code_writer(options)
  return native.writer(check("data.code_writer", options, {
    folder = "string", split = "string?", tokenizer = "table", sample_rate = "integer", frame_rate = "number?",
    hop_length = "integer", codebooks = "integer", vocab_size = "integer", shard_bytes = "integer?",
  }))
end

---An audio file (WAV, FLAC, Ogg with Vorbis or Opus, MP3, AIFF), at its own rate and channels or at
---those asked for: one channel is the mean of all, two are one doubled.
---@param path string
---@param options? {sample_rate?: integer, channels?: integer, accept_truncated?: boolean}
---@return {samples: gamut.Tensor, sample_rate: integer} float32 [channels, n]
function codes.read_audio(path, options)
  return native.read_audio(path, check("data.read_audio", options, {
    sample_rate = "integer?", channels = "integer?", accept_truncated = "boolean?",
  }))
end

---Writes a .wav file, with 16-bit integers (clipped) or floats, or a .flac file.
---@param path string
---@param audio {samples: gamut.Tensor, sample_rate: integer}
---@param options? {encoding?: "pcm16"|"float32"}
function codes.write_audio(path, audio, options)
  native.write_audio(path, audio, check("data.write_audio", options, {encoding = "string?"}))
end

return codes
