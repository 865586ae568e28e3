-- Codes shards, windows of codes and audio files from Lua.

local gamut = require "gamut"
local testing = require "gamut.testing"
local data = gamut.data
local test, equal, raises = testing.test, testing.equal, testing.raises

local folder = os.tmpname()
os.remove(folder)

local TOKENIZER = {name = "dac", version = "1.0.0", options = {seed = 1}, identity = {weights_sha256 = "abc"}}

-- Items of these lengths; code k of frame t of the i-th is 100 i + 10 k + t.
local function write(name, lengths, options)
  options = options or {}
  local writer = data.code_writer{
    folder = folder .. "/" .. name, split = options.split, tokenizer = options.tokenizer or TOKENIZER,
    sample_rate = 44100, hop_length = 512, codebooks = 3, vocab_size = 1024, shard_bytes = options.shard_bytes,
  }
  for i, length in ipairs(lengths) do
    local codes = gamut.arange(length):reshape{1, length} + gamut.arange(3):reshape{3, 1} * 10 + (i - 1) * 100
    writer:append(codes, {name = "clip" .. i, text = "The words of " .. i .. "."})
  end
  local files = writer:finish()
  raises(function() writer:finish() end, "is finished")
  return files
end

local function list(tensor) return tensor:flatten():tolist() end

test("items are written, found and read", function()
  local files = write("set", {4, 0, 9}, {shard_bytes = 60})
  equal(#files, 3)
  local set = data.codes(folder .. "/set", {split = "train"})
  equal({set.items, set.frames, set.codebooks, set.vocab_size}, {3, 13, 3, 1024})
  equal({set.sample_rate, set.hop_length, set.frame_rate}, {44100, 512, 44100 / 512})
  equal(set.tokenizer, TOKENIZER)
  equal(set.files, files)
  equal(set.fingerprint, data.codes(files).fingerprint)
  local codes, facts = set:item(0)
  equal(codes.shape, {3, 4})
  equal(list(codes), {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23})
  equal(facts, {name = "clip1", text = "The words of 1."})
  equal(set:item(1).shape, {3, 0})
  equal(set:facts(2).name, "clip3")
  equal(set:length(2), 9)
  equal(set:find "clip3", 2)
  equal(set:find "clip4", nil)
  set:verify()
  raises(function() set:item(3) end, "there is no item 3")
  raises(function() return set.names end, "a code set has no `names`")
  raises(function() data.codes(folder .. "/set", {split = "val"}) end, "holds no codes shards")
end)

test("codes of other tokenizers are not mixed", function()
  local here = write("mix", {4})
  local there = write("mix", {4}, {split = "other", tokenizer = {
    name = "dac", version = "1.0.0", options = {}, identity = {weights_sha256 = "def"}}})
  raises(function() data.codes{here[1], there[1]} end, "differ in weights_sha256: abc and def")
end)

test("chunks are padded, and short rests left out", function()
  local set = data.codes(write("chunks", {10, 3, 1, 8}))
  local batches = data.code_batches(set, {batch = 4, frames = 4, minimum = 2})
  equal({batches.windows, batches.items_left_out, batches.pad}, {6, 1, 1024})
  local codes, lengths, window = batches:next()
  equal(codes.shape, {4, 3, 4})
  equal(codes.dtype, "int64")
  equal(list(lengths), {4, 4, 2, 3})
  equal(list(window.items), {0, 0, 0, 1})
  equal(list(window.starts), {0, 4, 8, 0})
  equal(list(window.ended), {false, false, true, true})
  equal(list(codes:select(0, 2)), {8, 9, 1024, 1024, 18, 19, 1024, 1024, 28, 29, 1024, 1024})
  equal(list(select(3, batches:next()).items), {3, 3, 0, 0})
end)

test("a saved position resumes, whatever the queue and the batch", function()
  local set = data.codes(write("resume", {40, 33, 2, 27}))
  for _, cut in ipairs{"chunks", "crops"} do
    local function loader(batch, prefetch)
      return data.code_batches(set, {
        batch = batch, frames = 4, cut = cut, order = "shuffled", seed = 3, prefetch = prefetch,
      })
    end
    local first = loader(2, 8)
    for _ = 1, 5 do first:next() end
    local state = first:state()
    equal(state.position, 10)
    local expected = gamut.cat({(first:next()), (first:next())}, 0)
    local second = loader(4, 0)
    second:load_state(state)
    equal(list((second:next())), list(expected))
    raises(function() second:load_state{position = 1, cut = cut, frames = 5} end, "belongs to frames 5")
  end
end)

test("validation sees every chunk once", function()
  local set = data.codes(write("windows", {10, 3, 1, 8}))
  local windows = data.code_windows(set, {batch = 4, frames = 4, minimum = 2, pad = -100})
  equal(windows.pad, -100)
  local starts, sizes = {}, {}
  for codes, _, window in windows:each() do
    sizes[#sizes + 1] = codes:size(0)
    if #sizes == 1 then equal(list(codes:select(0, 2):select(0, 0)), {8, 9, -100, -100}) end
    for _, start in ipairs(list(window.starts)) do starts[#starts + 1] = start end
  end
  equal(sizes, {4, 2})
  equal(starts, {0, 4, 8, 0, 0, 4})
end)

test("wrong options are errors in words", function()
  local set = data.codes(write("options", {10}))
  raises(function() data.code_batches(set, {batch = 1}) end, "needs `frames`")
  raises(function() data.code_batches(set, {batch = 1, frames = 2, cut = "slices"}) end,
    [["chunks" or "crops", got "slices"]])
  raises(function() data.code_batches(set, {batch = 1, frames = 20, minimum = 15}) end, "no window of 15 frames")
  raises(function() data.code_batches("set", {batch = 1, frames = 20}) end, "takes a code set")
end)

test("audio goes to files and back", function()
  local samples = gamut.arange(-8000, 8000):reshape{2, 8000}:to "float32" / 32768
  local path = folder .. "/a.wav"
  data.write_audio(path, {samples = samples, sample_rate = 16000})
  local audio = data.read_audio(path)
  equal(audio.sample_rate, 16000)
  equal(audio.samples:equal(samples), true)
  local mono = data.read_audio(path, {sample_rate = 24000, channels = 1})
  equal(mono.samples.shape, {1, 12000})
  equal(mono.sample_rate, 24000)
  data.write_audio(path, {samples = samples * 9, sample_rate = 16000}, {encoding = "float32"})
  equal(data.read_audio(path).samples:equal(samples * 9), true)
  raises(function() data.read_audio(folder .. "/none.wav") end, "No such file")
  raises(function() data.write_audio(path, {samples = samples}) end, "sample_rate is nil")
  raises(function() data.write_audio(path, audio, {encoding = "mp3"}) end, "not as `mp3`")
end)

os.execute(("rm -rf '%s'"):format(folder))
testing.finish()
