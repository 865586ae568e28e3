-- Codebook patterns: the worked examples of the reference, exact lengths, inverses, masks, generation.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn
local patterns = require "gamut.data".patterns
require "gamut.nn.mixers.linear_attention"

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local NAMES = {"delay", "parallel", "flatten", "partial_flatten", "coarse_first"}

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function codes_of(batch, codebooks, frames)
  return gamut.randint(1024, {batch, codebooks, frames}, {dtype = "int64"})
end

-- What a pattern is, said step by step: {[step] = {[codebook] = frame}}, both from 0; step 0 is empty.
local LAYOUTS = {
  parallel = function(_, _, t) return t + 1 end,
  delay = function(_, k, t) return t + k + 1 end,
  flatten = function(codebooks, k, t) return t * codebooks + k + 1 end,
  partial_flatten = function(codebooks, k, t) return math.min(codebooks, 2) * t + math.min(k, 1) + 1 end,
  coarse_first = function(_, k, t, frames) return (k > 0 and frames or 0) + t + 1 end,
}

testing.test("the worked examples, forwards and back", function()
  local worked = gamut.json.decode(read(folder .. "/../data/codecs/patterns.json"))
  local special, seen = worked.special_token, 0
  for _, case in ipairs(worked.cases) do
    local pattern = patterns.make(case.pattern, {codebooks = case.n_codebooks, pad = special, bos = special,
      eos = special})
    testing.equal(pattern.vocab_size, special + 1)
    local codes, sequence = gamut.tensor(case.codes), gamut.tensor(case.sequence)
    testing.equal(pattern:steps(case.timesteps), case.steps_with_start)
    testing.equal(pattern:frames(case.steps_with_start), case.timesteps)
    local made, mask = pattern:apply(codes)
    testing.equal(made, sequence)
    testing.equal(mask, sequence:ne(special))
    testing.equal(pattern:invert(sequence), codes)
    testing.equal((pattern:apply(gamut.stack{codes, codes + 1})):select(0, 0), sequence)
    seen = seen + 1
  end
  testing.equal(seen, 12)
end)

testing.test("lengths as the studies count them", function()
  local delay = patterns.delay{codebooks = 9}
  testing.equal(delay:steps(2040) - 1, 2048) -- of 2048 inputs, without an end
  testing.equal(patterns.delay{codebooks = 9, ends = true}:steps(2038), 2048)
  testing.equal(patterns.delay{codebooks = 9, ends = true}:frames(2048), 2038)
  local expected = {parallel = 2041, delay = 2049, flatten = 18361, coarse_first = 4081, partial_flatten = 4081}
  for name, steps in pairs(expected) do testing.equal(patterns.make(name, {codebooks = 9}):steps(2040), steps) end
  testing.equal(delay.vocab_size, 1027)
  testing.equal({delay.pad, delay.bos, delay.eos, delay.hole}, {1024, 1025, 1026, 1024})
end)

testing.test("steps and frames are inverse for every number of steps", function()
  for _, name in ipairs(NAMES) do
    for _, ends in ipairs{false, true} do
      for codebooks = 1, 4 do
        local pattern = patterns.make(name, {codebooks = codebooks, ends = ends})
        for frames = 0, 12 do testing.equal(pattern:frames(pattern:steps(frames)), frames) end
        for steps = pattern:steps(0), 40 do
          local frames = pattern:frames(steps)
          testing.is_true(pattern:steps(frames) <= steps and pattern:steps(frames + 1) > steps)
        end
      end
    end
  end
end)

-- Item by item and step by step, as the definitions read.
local function expected_item(pattern, codes, length, ended, steps)
  local rows, masks = {}, {}
  local frames = length + (ended and 1 or 0)
  local last = 0
  for k = 0, pattern.codebooks - 1 do
    for t = 0, frames - 1 do
      last = math.max(last, LAYOUTS[pattern.name](pattern.codebooks, k, t, frames))
    end
  end
  for k = 0, pattern.codebooks - 1 do
    local row, mask = {}, {}
    for s = 0, steps - 1 do row[s + 1], mask[s + 1] = s > last and pattern.pad or pattern.hole, false end
    for t = 0, frames - 1 do
      local step = LAYOUTS[pattern.name](pattern.codebooks, k, t, frames)
      row[step + 1] = t == length and pattern.eos or codes[k + 1][t + 1]
      mask[step + 1] = true
    end
    row[1] = pattern.bos
    rows[k + 1], masks[k + 1] = row, mask
  end
  return rows, masks
end

testing.test("batches with lengths equal the definition; the inverse gives the codes back", function()
  gamut.manual_seed(5)
  math.randomseed(5)
  for round = 1, 12 do
    for _, name in ipairs(NAMES) do
      local codebooks, frames, batch = round % 5 + 1, math.random(0, 7), 3
      local ends = round % 2 == 0
      local pattern = patterns.make(name, {codebooks = codebooks, ends = ends, hole = 1027})
      local codes = codes_of(batch, codebooks, frames)
      local lengths, ended = {}, {}
      for b = 1, batch do lengths[b], ended[b] = math.random(0, frames), ends and (b + round) % 3 > 0 end
      local how = {lengths = lengths, ended = ends and ended or nil}
      local sequence, mask = pattern:apply(codes, how)
      testing.equal(sequence.shape, {batch, codebooks, pattern:steps(frames)})
      local count = 0
      for b = 1, batch do
        local item = codes:select(0, b - 1)
        local list = frames > 0 and item:tolist() or {}
        local rows, masks = expected_item(pattern, list, lengths[b], ended[b], sequence.shape[3])
        testing.equal(sequence:select(0, b - 1), gamut.tensor(rows))
        testing.equal(mask:select(0, b - 1), gamut.tensor(masks))
        count = count + codebooks * (lengths[b] + (ended[b] and 1 or 0))
      end
      testing.equal(mask:sum():item(), count)
      local back = pattern:invert(sequence, {frames = frames, lengths = lengths, ended = how.ended})
      for b = 1, batch do
        local whole = back:select(0, b - 1)
        testing.equal(whole:narrow(-1, 0, lengths[b]), codes:select(0, b - 1):narrow(-1, 0, lengths[b]))
        testing.is_true(whole:narrow(-1, lengths[b], frames - lengths[b]):eq(pattern.pad):all():item())
      end
    end
  end
end)

testing.test("delays and groups of one's own", function()
  local codes = gamut.tensor{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
  local delay = patterns.delay{codebooks = 3, delays = {0, 2, 2}}
  testing.equal(delay.max_delay, 2)
  testing.equal(delay:steps(3), 6)
  local S, P = 1025, 1024
  testing.equal((delay:apply(codes)), gamut.tensor{{S, 1, 2, 3, P, P}, {S, P, P, 4, 5, 6}, {S, P, P, 7, 8, 9}})
  local partial = patterns.partial_flatten{codebooks = 3, groups = {0, 0, 1}}
  testing.equal((partial:apply(codes)),
    gamut.tensor{{S, 1, P, 2, P, 3, P}, {S, 4, P, 5, P, 6, P}, {S, P, 7, P, 8, P, 9}})
  testing.equal(partial:invert((partial:apply(codes))), codes)
end)

testing.test("training views: the next step, MusicGen's cut, ids that are given", function()
  local delay = patterns.delay{codebooks = 3, ends = true}
  local codes = gamut.tensor{{{1, 2}, {3, 4}, {5, 6}}}
  local inputs, targets, mask = delay:training(codes)
  local S, P, E, I = 1025, 1024, 1026, -100
  testing.equal(inputs, gamut.tensor{{{S, 1, 2, E, P}, {S, P, 3, 4, E}, {S, P, P, 5, 6}}})
  testing.equal(targets, gamut.tensor{{{1, 2, E, I, I}, {I, 3, 4, E, I}, {I, I, 5, 6, E}}})
  testing.equal(mask, targets:ne(I))
  testing.equal(select(2, delay:training(codes, {ignore = 1024})), targets:masked_fill(targets:eq(I), 1024))

  local plain = patterns.delay{codebooks = 3}
  inputs, targets, mask = plain:training(gamut.tensor{{{1, 2, 9}, {3, 4, 9}, {5, 6, 9}}}, {cut = true})
  testing.equal(inputs, gamut.tensor{{{S, 1, 2}, {S, P, 3}, {S, P, P}}}) -- frames + 1 steps, less the last
  testing.equal(targets, gamut.tensor{{{1, 2, 9}, {I, 3, 4}, {I, I, 5}}})
  testing.equal(mask:sum():item(), 6)

  inputs, targets = plain:training(gamut.tensor{{{7, 0}, {8, 0}, {9, 0}}}, {lengths = {1}})
  testing.equal(inputs, gamut.tensor{{{S, 7, P, P}, {S, P, 8, P}, {S, P, P, 9}}})
  testing.equal(targets, gamut.tensor{{{7, I, I, I}, {I, 8, I, I}, {I, I, 9, I}}})
  testing.equal((plain:training(gamut.tensor({{{7}, {8}, {9}}}, {dtype = "uint8"}))).dtype, "int64")
end)

testing.test("what cannot be is refused in words", function()
  local delay = patterns.delay{codebooks = 3}
  testing.raises(function() delay:apply(gamut.zeros{2, 4, 5}) end,
    "the pattern `delay` has 3 codebooks; got %[2, 4, 5%]")
  testing.raises(function() delay:apply(codes_of(2, 3, 4), {lengths = {5, 1}}) end, "between 0 and the 4 frames")
  testing.raises(function() delay:apply(codes_of(2, 3, 4), {lengths = {1}}) end, "each of the 2 items")
  testing.raises(function() delay:apply(codes_of(2, 3, 4), {ended = {true, true}}) end, "ends = true")
  testing.raises(function() delay:invert(codes_of(2, 3, 4), {frames = 9}) end, "take 12 steps, and the sequence has 4")
  testing.raises(function() patterns.delay{codebooks = 2, delays = {1}} end, "list of 2 numbers")
  testing.raises(function() patterns.delay{codebooks = 2, pad = 3} end, "`pad` is 3, which is a code")
  testing.raises(function() patterns.delay{codebooks = 2, pad = 1024, eos = 1024, ends = true} end, "id of its own")
  testing.raises(function() patterns.make("delays", {codebooks = 2}) end, "no pattern `delays`")
  testing.raises(function() patterns.flatten{codebooks = 2, ends = true}:frames(1) end, "too few")
  testing.raises(function() patterns.coarse_first{codebooks = 2, ends = true}:guide{frames = 4, least = 1} end,
    "depend on the number of frames")
end)

local function model_of(pattern)
  gamut.manual_seed(3)
  return nn.Decoder{
    vocab_size = pattern.vocab_size, codebooks = pattern.codebooks, d_model = 16, layers = {"linear_attention"},
    mixers = {linear_attention = {n_heads = 2}}, mlp = {kind = "swiglu", d_ff = 32},
  }
end

local function generate(pattern, guide)
  return nn.generate(model_of(pattern), guide.prompt, {
    steps = guide.steps, on_logits = guide.on_logits, on_step = guide.on_step, seed = 1,
  })
end

testing.test("a loss of a model with one head a codebook counts what the mask says", function()
  local pattern = patterns.delay{codebooks = 4, codes = 20}
  local model = model_of(pattern)
  local inputs, targets, mask = pattern:training(gamut.randint(20, {2, 4, 6}), {lengths = {6, 3}})
  local logits = model(inputs):permute{0, 2, 1, 3}:to{dtype = "float32"}
  local each = gamut.cross_entropy_loss(logits:reshape{-1, 23}, targets:clamp(0):reshape{-1}, nil, 0)
  testing.close(model:loss(inputs, targets), (each * mask:reshape{-1}):sum() / mask:sum(), 1e-5)
end)

testing.test("from a set of codes to a loss: what ends has its end, crops have none", function()
  local data = gamut.data
  local codes_folder <const> = os.tmpname()
  os.remove(codes_folder)
  local writer = data.code_writer{
    folder = codes_folder, split = "train", sample_rate = 24000, hop_length = 320, codebooks = 3, vocab_size = 20,
    tokenizer = {name = "encodec", version = "1.0.0", options = {}, identity = {}},
  }
  for i, length in ipairs{11, 6, 3} do writer:append(gamut.randint(20, {3, length}), {name = "clip" .. i}) end
  writer:finish()
  local set = data.codes(codes_folder, {split = "train"})
  local pattern = patterns.delay{codebooks = set.codebooks, codes = set.vocab_size, ends = true}
  local frames = pattern:frames(11)
  testing.equal(frames, 7)
  local batches = data.code_batches(set, {batch = 4, frames = frames})
  local codes, lengths, from = batches:next()
  local inputs, targets, mask = pattern:training(codes, {lengths = lengths, ended = from.ended})
  testing.equal(inputs.shape, {4, 3, 10})
  testing.equal(mask:sum():item(), 3 * (lengths:sum() + from.ended:sum()):item())
  testing.equal(targets:eq(pattern.eos):sum():item(), 3 * from.ended:sum():item())
  local model = model_of(pattern)
  local loss = model:loss(inputs, targets)
  loss:backward()
  testing.close(loss:item(), math.log(pattern.vocab_size), 1.0)
  os.execute("rm -rf " .. codes_folder)
end)

testing.test("generation keeps to the pattern, goes on from given frames, and gives codes back", function()
  for _, name in ipairs(NAMES) do
    local pattern = patterns.make(name, {codebooks = 3, codes = 20, ends = true})
    local known = gamut.randint(20, {2, 3, 2})
    local guide = pattern:guide{frames = 6, codes = known}
    local sequence = generate(pattern, guide)
    testing.equal(sequence.shape[3], pattern:steps(6))
    local codes, lengths = guide.codes(sequence)
    testing.equal((pattern:apply(codes)), sequence)
    testing.equal(codes:narrow(-1, 0, 2), known)
    testing.is_true(codes:max():item() < 20)
    testing.equal(lengths, gamut.tensor{6, 6})
  end
  -- Delay: what is known of later codebooks is behind the prompt, and is put in as it comes.
  local guide = patterns.delay{codebooks = 3, codes = 20}:guide{frames = 6, codes = gamut.randint(20, {1, 3, 2})}
  testing.equal(guide.prompt.shape, {1, 3, 3})
  testing.equal(guide.steps, 6)
end)

testing.test("the first codebook ends an item, the others end at the same frame", function()
  local pattern = patterns.delay{codebooks = 3, codes = 20, ends = true}
  local guide = pattern:guide{frames = 8, batch = 2, least = 3}
  -- A model that says EOS as soon as it may for the first item, and for the second two frames later.
  local frame = -1
  local sequence = nn.generate(model_of(pattern), guide.prompt, {
    steps = guide.steps,
    on_logits = function(logits, step)
      logits = guide.on_logits(logits, step)
      testing.is_true(logits:select(-1, pattern.pad):eq(-math.huge):all():item())
      testing.equal(logits:select(-1, pattern.eos):isinf():logical_not():tolist(),
        {{step >= 3, false, false}, {step >= 3, false, false}})
      frame = step
      logits:select(0, 0):select(0, 0):select(0, pattern.eos):fill_(step >= 3 and 1e9 or -math.huge)
      logits:select(0, 1):select(0, 0):select(0, pattern.eos):fill_(step == 5 and 1e9 or -math.huge)
      return logits
    end,
    on_step = guide.on_step, seed = 2,
  })
  testing.equal(frame, 8) -- one draw beyond the last step shows that all have ended
  local codes, lengths = guide.codes(sequence)
  testing.equal(lengths, gamut.tensor{3, 5})
  testing.equal(sequence, (pattern:apply(codes, {lengths = lengths})))
end)

testing.finish()
