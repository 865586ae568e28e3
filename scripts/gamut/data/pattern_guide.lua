-- Generation with a pattern: which positions are given at each step, which ids the model may draw, and
-- when all items have ended.
--
--   local guide = pattern:guide{frames = 600, batch = 4}
--   local sequence = nn.generate(model, guide.prompt, {
--     steps = guide.steps, on_logits = guide.on_logits, on_step = guide.on_step, seed = 1})
--   local codes, lengths = guide.codes(sequence)
local gamut = require "gamut"
local check = require "gamut.options"

local DRAWN = -1 -- in a plan: the model says what stands here

---@class gamut.data.PatternGuide
---@field prompt gamut.Tensor int64 [batch, codebooks, known steps] that generation starts from
---@field steps integer that generation takes at most after the prompt
---@field plan gamut.Tensor int64 [batch, codebooks, all steps]: ids that are given, -1 where one is drawn
---@field on_logits fun(logits: gamut.Tensor, step: integer): gamut.Tensor no id that may not stand there
---@field on_step fun(ids: gamut.Tensor, step: integer): gamut.Tensor|false given ids put in; false: all ended
---@field codes fun(sequence: gamut.Tensor): gamut.Tensor, gamut.Tensor codes [batch, codebooks, frames], lengths [batch]

local function plan_of(pattern, known, batch, frames, device)
  local codes = gamut.full({batch, pattern.codebooks, frames}, DRAWN, {dtype = "int64", device = device})
  if known then codes:narrow(-1, 0, known.shape[3]):copy_(known) end
  return (pattern:apply(codes))
end

-- Steps before the first that holds something to draw; the start is given always.
local function known_steps(plan)
  local drawn = plan:eq(DRAWN):any(0):any(0)
  local first = drawn:nonzero()
  return first.shape[1] > 0 and first:min():item() or plan.shape[3]
end

-- Only the first codebook says where an item ends; the others end at the same frame. The place of later
-- codes must not depend on the length, and whatever comes after the end must be drawn later.
local function check_stop(pattern, least)
  if not pattern.ends then error("pattern:guide: `least` belongs to a pattern with ends = true", 3) end
  for k = 1, pattern.codebooks do
    if pattern.phase[k] > 0 then
      error(("pattern:guide: the places of the pattern `%s` depend on the number of frames, so it cannot "
        .. "end before `frames`"):format(pattern.name), 3)
    end
    if pattern.offset[k] < pattern.offset[1] then
      error("pattern:guide: an item can end early where no codebook comes before the first", 3)
    end
  end
  if least < 0 then error("pattern:guide: `least` must be 0 or more", 3) end
end

-- Ids that may be drawn, [batch or 1, codebooks, vocab_size].
local function allowed_ids(pattern, device)
  local allowed = gamut.zeros({1, pattern.codebooks, pattern.vocab_size}, {dtype = "bool", device = device})
  allowed:narrow(-1, 0, pattern.codes):fill_(true)
  return allowed
end

local OPTIONS = {frames = "integer", batch = "integer?", codes = "any?", least = "integer?", device = "string?"}

local guide = {}

---Plans the generation of up to `frames` frames.
---@param pattern gamut.data.Pattern
---@param options {frames: integer, batch?: integer, codes?: gamut.Tensor, least?: integer, device?: string}
---  codes: frames to go on from, [batch, codebooks, known frames]; least: let the model end an item by EOS
---  of the first codebook after so many frames (without it every item has `frames`)
---@return gamut.data.PatternGuide
function guide.make(pattern, options)
  options = check("pattern:guide", options, OPTIONS)
  local frames, known, least = options.frames, options.codes, options.least
  local batch = known and known.shape[1] or options.batch or 1
  local device = known and known.device or options.device or "cpu"
  if known and (#known.shape ~= 3 or known.shape[2] ~= pattern.codebooks or known.shape[3] > frames) then
    error(("pattern:guide: `codes` must be [batch, %d, up to %d frames], got [%s]")
      :format(pattern.codebooks, frames, table.concat(known.shape, ", ")), 2)
  end
  if least then check_stop(pattern, least) end

  local plan = plan_of(pattern, known, batch, frames, device)
  local all = plan.shape[3]
  local prompt = known_steps(plan)
  local frame = pattern:frame_at(all, frames + (pattern.ends and 1 or 0), device)
  local allowed = allowed_ids(pattern, device)
  local last = gamut.full({batch}, frames, {dtype = "int64", device = device}) -- frames of each item
  local self = {prompt = plan:narrow(-1, 0, prompt), steps = all - prompt, plan = plan}

  function self.on_logits(logits, step)
    local here, mask = frame:select(-1, prompt + step), allowed
    if least and here:select(-1, 0):item() >= least then
      mask = allowed:clone()
      mask:select(1, 0):narrow(-1, pattern.eos, 1):fill_(true)
    end
    -- Heads may have no columns for special ids (MusicGen).
    local ids = math.min(logits.shape[#logits.shape], pattern.vocab_size)
    return logits:masked_fill(mask:narrow(-1, 0, ids):logical_not(), -math.huge)
  end

  -- Where the first codebook drew EOS, that frame is the item's end for all codebooks.
  local function note_end(ids, here)
    local stopped = ids:select(1, 0):eq(pattern.eos):logical_and(here:select(-1, 0):ge(0))
    last = gamut.where(stopped, gamut.minimum(last, here:select(-1, 0)), last)
  end

  function self.on_step(ids, step)
    local at = prompt + step
    if least and at >= pattern:steps(last:max():item()) then return false end
    local given, here = plan:select(-1, at), frame:select(-1, at)
    ids = gamut.where(given:eq(DRAWN), ids, given)
    if not least then return ids end
    note_end(ids, here)
    local limit = last:view{batch, 1}
    return ids:masked_fill(here:eq(limit), pattern.eos):masked_fill(here:gt(limit), pattern.pad)
  end

  ---Also of a sequence that ended early, or of one without the prompt's end: what is not there is `pad`.
  function self.codes(sequence)
    local missing = all - sequence.shape[3]
    if missing > 0 then
      sequence = gamut.cat({sequence, sequence:new_full({batch, pattern.codebooks, missing}, pattern.pad)}, -1)
    end
    local count = frames > 0 and last:max():item() or 0
    return pattern:invert(sequence, {frames = count, lengths = last}), last
  end

  return self
end

return guide
