-- Bits per byte against numbers worked out by hand.

local gamut = require "gamut"
local testing = require "gamut.testing"
local data, eval = gamut.data, gamut.eval
local test, equal, close, raises = testing.test, testing.equal, testing.close, testing.raises

local folder = os.tmpname()
os.remove(folder)
local tokenizer = gamut.tokenizer "bytes"

-- Documents "ab" and "cde": BOS a b BOS c d e f = 8 tokens, 7 predictions.
local writer = data.shard_writer{folder = folder, prefix = "t_val", vocab_size = 260}
for _, document in ipairs{"ab", "cdef"} do
  writer:append(gamut.tensor({1}, {dtype = "int64"}))
  writer:append(tokenizer:encode(document))
end
local set = data.shards(writer:finish(), {vocab_size = 260})

-- The loss of a target is its id over 100.
local function per_token(_, y) return y:to "float32" / 100 end
local function mean(x, y) return per_token(x, y):mean() end

-- Targets of the windows [BOS a b], [BOS c d]: a b BOS c d e.
local ids = {4 + 97, 4 + 98, 1, 4 + 99, 4 + 100, 4 + 101}
local expected = 0
for _, id in ipairs(ids) do expected = expected + id / 100 / #ids end

local function measure(model, batch, max_tokens)
  return eval.bits_per_byte{
    model = model, set = set, tokenizer = tokenizer, context = 3, batch = batch, max_tokens = max_tokens,
  }
end

test("a BOS target costs loss and counts no byte", function()
  local result = measure(per_token, 2)
  equal(result.tokens, 6)
  equal(result.bytes, 5)
  close(result.loss, expected, 1e-6)
  close(result.bpb, expected / math.log(2) * 6 / 5, 1e-6)
end)

-- "the an", " an" and "the preson" in the pieces the, _an, _pre, son, where _ is a space. The space
-- behind BOS is in no text: 3 + 3 bytes, then 2, then 3 + 4 + 3, and three BOS between them.
test("SentencePiece: spaces count behind text, not behind BOS", function()
  local golf = gamut.tokenizer("sentencepiece", {
    model = os.getenv "GAMUT_SOURCE" .. "/tests/data/tokenizers/golf.model",
  })
  equal(golf:encode "the an":flatten():tolist(), {275, 264})
  equal(golf:encode "the preson":flatten():tolist(), {275, 286, 282})
  local shards = data.shard_writer{folder = folder .. "_golf", prefix = "t_val", vocab_size = 512}
  shards:append(gamut.tensor({1, 275, 264, 1, 264, 1, 275, 286, 282, 1}))
  local result = eval.bits_per_byte{
    model = function(_, y) return y:to "float32" * 0 + 2 * math.log(2) end, tokenizer = golf,
    set = data.shards(shards:finish(), {vocab_size = 512}), context = 9, batch = 1,
  }
  equal(result.tokens, 9)
  equal(result.bytes, 18)
  close(result.loss, 2 * math.log(2), 1e-6)
  close(result.bpb, 2 * 9 / 18, 1e-6)
end)

test("means are weighted by their tokens and batches do not matter", function()
  for _, model in ipairs{per_token, mean} do
    for _, batch in ipairs{1, 2, 7} do close(measure(model, batch).bpb, measure(per_token, 2).bpb, 1e-6) end
  end
end)

test("max_tokens takes the first windows", function()
  local result = measure(mean, 2, 5)
  equal(result.tokens, 3)
  equal(result.bytes, 2)
  close(result.loss, (ids[1] + ids[2] + ids[3]) / 300, 1e-6)
end)

test("a module is put into evaluation mode and back, also by an error", function()
  local seen
  local module = {training = true, weight = gamut.ones{1}}
  module.weight.requires_grad = true
  function module:eval() self.training = false end
  function module:train() self.training = true end
  function module:loss(_, y)
    seen = {self.training, (self.weight * 2).requires_grad}
    return per_token(nil, y)
  end
  close(measure(module, 2).loss, expected, 1e-6)
  equal(seen, {false, false})
  equal(module.training, true)
  function module:loss() error "broken" end
  raises(function() measure(module, 2) end, "broken")
  equal(module.training, true)
end)

test("a loss of another shape is refused", function()
  raises(function() measure(function() return gamut.zeros{2} end, 2) end, "shape %[2%].*6 targets")
end)

os.execute(("rm -r '%s' '%s_golf'"):format(folder, folder))
testing.finish()
