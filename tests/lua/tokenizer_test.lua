-- Tokenizers as Lua objects: text, audio, streams, the codec's own files.

local gamut = require "gamut"
local testing = require "gamut.testing"
local test, equal, raises = testing.test, testing.equal, testing.raises

local data = os.getenv "GAMUT_SOURCE" .. "/tests/data/"
local codec = gamut.tokenizer("dac", {weights = data .. "codecs/dac_tiny_orig.safetensors"})

local function noise(samples) return {samples = gamut.randn{1, samples} * 0.1, sample_rate = codec.sample_rate} end

test("text", function()
  local golf = gamut.tokenizer("sentencepiece", {model = data .. "tokenizers/golf.model"})
  local codes = golf:encode "the preson"
  equal(golf:decode(codes), "the preson")
  equal(golf.special_ids.bos, 1)
  equal(#golf.identity.model_sha256, 64)
  equal(next(gamut.tokenizer "bytes".identity), nil)
  equal(golf.channels, nil)
  equal(golf.code_file_extension, nil)
  raises(function() golf:new_decoder() end, "is no codec of audio")
  raises(function() golf:read_code_file "x" end, "has no files of its own")
  raises(function() return golf.chanels end, "has no `chanels`")
end)

test("a stream outlives the name of its tokenizer", function()
  local function make() return gamut.tokenizer("sentencepiece", {model = data .. "tokenizers/golf.model"}) end
  local expected = make():encode "the preson and the loming"
  local encoder = make():new_encoder()
  collectgarbage()
  collectgarbage()
  local pieces = {encoder:push "the pre", encoder:push "son and the lo", encoder:push "ming", encoder:finish()}
  equal(gamut.cat(pieces, 1):equal(expected), true)
end)

test("a codec's facts", function()
  equal(codec.channels, 1)
  equal(codec.hop_length, 512)
  equal(codec.code_file_extension, ".dac")
  equal(#codec.identity.weights_sha256, 64)
  local audio = noise(3000)
  local codes = codec:encode(audio)
  equal(codes.shape, {codec.codebooks, codec:steps(3000)})
  equal(codec:decode(codes).samples.shape, {1, codec:samples(codes:size(1))})
  raises(function() codec:steps(-1) end, "an integer of 0 or more, not")
  raises(function() codec:samples(1.5) end, "an integer of 0 or more, not")
end)

test("codes decode in pieces", function()
  local codes = codec:encode(noise(9000))
  local whole = codec:decode(codes).samples
  local decoder, pieces = codec:new_decoder(), {}
  for from = 0, codes:size(1) - 1, 5 do
    pieces[#pieces + 1] = decoder:push(codes:at{":", {from, math.min(from + 5, codes:size(1))}})
  end
  pieces[#pieces + 1] = decoder:finish()
  local joined = gamut.cat(pieces, 1)
  equal(joined.shape, whole.shape)
  equal((joined - whole):abs():max():item() < 1e-5, true)
  equal(codec:decode(codes:at{{0, 2}}).samples.shape, whole.shape)
end)

test("the codec's own files", function()
  local path, audio = os.tmpname(), noise(5000)
  codec:write_code_file(path, audio)
  local file = codec:read_code_file(path)
  equal(file.samples, 5000)
  equal(file.sample_rate, codec.sample_rate)
  equal(file.channels, 1)
  equal(file.codes:size(0), codec.codebooks)
  equal(type(next(file.facts)), "string")
  equal(codec:decode_code_file(path).samples.shape, {1, 5000})
  local handle <close> = assert(io.open(path, "wb"))
  handle:write "no such file"
  handle:flush()
  raises(function() codec:read_code_file(path) end, "dac")
  os.remove(path)
end)

testing.finish()
