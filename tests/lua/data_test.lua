-- Shards, batches, windows and text corpora from Lua.

local gamut = require "gamut"
local testing = require "gamut.testing"
local data = gamut.data
local test, equal, raises = testing.test, testing.equal, testing.raises

local folder = os.tmpname()
os.remove(folder)

-- Tokens 0 .. count-1 as shards of 40.
local function counting(name, count)
  local writer = data.shard_writer{folder = folder .. "/" .. name, prefix = "x_train", shard_tokens = 40}
  writer:append(gamut.arange(count))
  local files = writer:finish()
  raises(function() writer:append(gamut.arange(1)) end, "finished")
  return files
end

local function write(name, text)
  os.execute(("mkdir -p '%s'"):format((folder .. "/" .. name):match "^(.*)/"))
  local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
end

local function list(tensor) return tensor:flatten():tolist() end

test("a folder that cannot be made is told", function()
  raises(function() data.shard_writer{folder = "/proc/nothing/x"} end, "cannot make the folder /proc/nothing/x")
end)

test("shards are written, found and read", function()
  local files = counting("found", 100)
  equal(#files, 3)
  local set = data.shards(folder .. "/found", {split = "train", vocab_size = 100})
  equal(set.tokens, 100)
  equal(set.vocab_size, 100)
  equal(set.files, files)
  equal(list(set:read(98, 4)), {98, 99, 0, 1})
  equal(set.fingerprint, data.shards(files).fingerprint)
  equal(data.shards(folder .. "/found/*_000001.bin").tokens, 40)
  set:verify()
  raises(function() data.shards(folder .. "/found", {vocab_size = 99}):verify() end, "token 19, at byte 1062, is 99")
  raises(function() return set.token end, "a token set has no `token`")
end)

test("batches follow each other in order", function()
  local set = data.shards(counting("order", 100))
  local batches = data.batches(set, {batch = 2, context = 3})
  local x, y = batches:next()
  equal(x.shape, {2, 3})
  equal(x.dtype, "int64")
  equal(list(x), {0, 1, 2, 3, 4, 5})
  equal(list(y), {1, 2, 3, 4, 5, 6})
  equal(list((batches:next())), {7, 8, 9, 10, 11, 12})
end)

test("a saved position resumes whatever the queue holds", function()
  local set = data.shards(counting("resume", 100))
  for _, order in ipairs{"sequential", "shuffled"} do
    local function loader(prefetch, batch)
      return data.batches(set, {batch = batch or 2, context = 4, order = order, seed = 3, prefetch = prefetch})
    end
    local first = loader(8)
    for _ = 1, 30 do first:next() end
    local state = gamut.json.decode(gamut.json.encode(first:state()))
    local second = loader(0)
    second:load_state(state)
    for _ = 1, 20 do
      local x, y = first:next()
      local a, b = second:next()
      equal(a, x)
      equal(b, y)
    end
    equal(loader(1, 5).fingerprint, set.fingerprint)
  end
end)

test("a position of another order, seed or context is refused", function()
  local set = data.shards(counting("refuse", 100))
  local function loader(order, seed, context)
    return data.batches(set, {batch = 2, context = context, order = order, seed = seed})
  end
  local state = loader("shuffled", 1, 4):state()
  raises(function() loader("sequential", 1, 4):load_state(state) end, "order shuffled")
  raises(function() loader("shuffled", 2, 4):load_state(state) end, "seed 1")
  raises(function() loader("shuffled", 1, 5):load_state(state) end, "context 4")
  loader("shuffled", 1, 4):load_state(state)
end)

test("options are checked", function()
  local set = data.shards(counting("options", 50))
  raises(function() data.batches(set, {batch = 2, contex = 4}) end, "no option `contex`; did you mean `context`")
  raises(function() data.batches(set, {batch = 2}) end, "needs `context`")
  raises(function() data.batches(set, {batch = 2.5, context = 4}) end, "`batch` must be an integer, got 2.5")
  raises(function() data.batches(set, {batch = 2, context = 4, order = "random"}) end, "sequential.*shuffled.*random")
  raises(function() data.batches(set, {batch = 2, context = 50}) end, "a window of 50 tokens needs 51")
  raises(function() data.shards(folder .. "/nowhere") end, "no file or folder")
end)

test("an error on the thread is raised by next", function()
  local batches = data.batches(data.shards(counting("raise", 100), {vocab_size = 60}), {batch = 2, context = 10})
  batches:next()
  batches:next()
  raises(function() batches:next() end, "outside of the vocabulary of 60")
end)

test("validation windows are disjoint and complete", function()
  local windows = data.windows(data.shards(counting("windows", 100)), {batch = 4, context = 9})
  equal(windows.tokens, 99)
  equal(windows.batches, 3)
  local seen, last = {}, nil
  for x, y in windows:each() do
    equal(list(y)[1], list(x)[1] + 1)
    for _, token in ipairs(list(x)) do seen[#seen + 1] = token end
    last = y
  end
  equal(seen, list(gamut.arange(99)))
  equal(last.shape, {3, 9})
end)

test("text becomes token sets once", function()
  for i = 1, 20 do write(("text/%d.md"):format(i), ("document %d, caf\u{e9}\n"):format(i)) end
  local options = {
    path = folder .. "/text", tokenizer = gamut.tokenizer "bytes", cache = folder .. "/cache",
    validation = 0.2, seed = 1,
  }
  local made = data.text_corpus(options)
  equal(made.reused, false)
  local again = data.text_corpus(options)
  equal(again.reused, true)
  equal(again.train.fingerprint, made.train.fingerprint)
  local manifest = made.manifest
  equal(manifest.train.documents + manifest.held_out.documents, 20)
  equal(made.train.tokens, manifest.train.bytes + manifest.train.documents)
  local ids = made.val:read(0, made.val.tokens)
  equal(ids:at{0}:item(), 1)
  testing.is_true(options.tokenizer:decode(ids:unsqueeze(0)):find "document %d+, caf\u{e9}\n")
  options.validation = 0
  equal(data.text_corpus(options).val, nil)
end)

os.execute(("rm -r '%s'"):format(folder))
testing.finish()
