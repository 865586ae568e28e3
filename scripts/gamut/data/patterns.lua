-- How the codes of several codebooks are laid out as steps of one sequence: delay, parallel, flattened,
-- coarse first. By index arithmetic and one gather, on any device, without a loop over time.
--
--   local pattern = patterns.delay{codebooks = 8}                       -- vocabulary 1027
--   local inputs, targets, mask = pattern:training(codes, {lengths = lengths})
--
-- Every pattern puts frame t of codebook k at step 1 + stride * t + offset[k] + phase[k] * T, T being the
-- frames of the item; step 0 is the start (BOS). Steps of a codebook that hold no code are holes.
-- After MusicGen (Copet et al. 2023, section 2.1), whose own special token is `musicgen` below.
local gamut = require "gamut"
local check = require "gamut.options"
local guide = require "gamut.data.pattern_guide"

local IGNORED = -100 -- a target that a loss leaves out, as in cross_entropy

---@class gamut.data.Pattern
---@field name string
---@field codebooks integer
---@field codes integer ids of a codebook, 0 to codes - 1
---@field pad integer what stands after the end of an item
---@field bos integer the first step
---@field eos integer what the frame after the last holds, where `ends`
---@field hole integer what stands where a codebook has no code yet, or no more
---@field ends boolean whether items end with a frame of EOS
---@field vocab_size integer ids that an embedding and a head need
---@field max_delay integer steps by which the last codebook is behind the first
---@field stride integer
---@field offset integer[] by codebook
---@field phase integer[] by codebook
local Pattern = {}
Pattern.__index = Pattern

-- --- Lengths ------------------------------------------------------------------------------------

local function check_count(who, count, least)
  if math.type(count) ~= "integer" or count < least then
    error(("%s takes a whole number of %d or more, not %s"):format(who, least, tostring(count)), 3)
  end
end

-- Steps of a sequence of `frames` frames, the end frame among them, with the start.
local function steps_of(self, frames)
  if frames == 0 then return 1 end
  local last = 0
  for k = 1, self.codebooks do
    last = math.max(last, self.stride * (frames - 1) + self.offset[k] + self.phase[k] * frames)
  end
  return last + 2
end

---How many steps an item takes, its start and end among them.
---@param frames integer
---@return integer
function Pattern:steps(frames)
  check_count("pattern:steps", frames, 0)
  return steps_of(self, frames + (self.ends and 1 or 0))
end

---The most frames that fit into `steps` steps, start and end among them. A model that sees N steps is
---trained on sequences of N + 1, as its last target is no input.
---@param steps integer
---@return integer
function Pattern:frames(steps)
  check_count("pattern:frames", steps, 1)
  local frames = math.maxinteger
  for k = 1, self.codebooks do
    local room = steps - 2 + self.stride - self.offset[k]
    frames = math.min(frames, room // (self.stride + self.phase[k]))
  end
  frames = math.max(frames, 0) - (self.ends and 1 or 0)
  if frames < 0 then
    error(("%d steps are too few for the start and the end of the pattern `%s`, which take %d")
      :format(steps, self.name, self:steps(0)), 2)
  end
  return frames
end

-- --- Indices ------------------------------------------------------------------------------------

local function column(values, device) return gamut.tensor(values, {device = device}):view{-1, 1} end

-- Which frame each step holds, [1 or batch, codebooks, steps]; -1 where there is none. `frames`: of the
-- item, a number or a tensor [batch, 1, 1].
function Pattern:frame_at(steps, frames, device)
  local step = gamut.arange(steps, {device = device}):view{1, 1, steps}
  local since = step - 1 - column(self.offset, device) - column(self.phase, device) * frames
  local frame = since:div(self.stride, {rounding_mode = "floor"})
  local there = since:eq(frame * self.stride):logical_and(frame:ge(0)):logical_and(frame:lt(frames))
  return frame:masked_fill(there:logical_not(), -1)
end

-- Which step holds each frame, [1 or batch, codebooks, frames].
local function step_at(self, count, frames, device)
  local t = gamut.arange(count, {device = device}):view{1, 1, count}
  return t * self.stride + 1 + column(self.offset, device) + column(self.phase, device) * frames
end

-- --- Arguments ----------------------------------------------------------------------------------

local function shown(tensor) return "[" .. table.concat(tensor.shape, ", ") .. "]" end

-- Codes or a sequence as int64 [batch, codebooks, time], and whether it came without a batch.
local function batched(self, who, ids)
  if not gamut.is_tensor(ids) then
    error(("%s takes a tensor [batch, codebooks, time], not a %s"):format(who, type(ids)), 3)
  end
  local dims = #ids.shape
  if dims < 2 or dims > 3 or ids.shape[dims - 1] ~= self.codebooks then
    error(("%s takes [batch, %d, time] or [%d, time], as the pattern `%s` has %d codebooks; got %s")
      :format(who, self.codebooks, self.codebooks, self.name, self.codebooks, shown(ids)), 3)
  end
  ids = ids:to{dtype = "int64"}
  return dims == 2 and ids:unsqueeze(0) or ids, dims == 2
end

-- Lengths in frames as [batch, 1, 1], or the number itself where all items are whole.
local function lengths_of(who, lengths, batch, frames, device)
  if lengths == nil then return frames end
  if type(lengths) == "table" then lengths = gamut.tensor(lengths) end
  if not gamut.is_tensor(lengths) or #lengths.shape ~= 1 or lengths.shape[1] ~= batch then
    error(("%s: `lengths` are frames, one number for each of the %d items"):format(who, batch), 3)
  end
  if batch > 0 and (lengths:min():item() < 0 or lengths:max():item() > frames) then
    error(("%s: `lengths` must lie between 0 and the %d frames of the codes"):format(who, frames), 3)
  end
  return lengths:to{dtype = "int64", device = device}:view{batch, 1, 1}
end

-- Frames of each item with its end; `ended` [batch] says which items have one.
local function with_end(self, who, lengths, ended, batch, device)
  if not self.ends then
    if ended ~= nil then
      error(("%s: `ended` belongs to a pattern with ends = true"):format(who), 3)
    end
    return lengths
  end
  if ended == nil then return lengths + 1 end
  if type(ended) == "table" then ended = gamut.tensor(ended) end
  if not gamut.is_tensor(ended) or #ended.shape ~= 1 or ended.shape[1] ~= batch then
    error(("%s: `ended` says of each of the %d items whether it ends here"):format(who, batch), 3)
  end
  return ended:to{dtype = "int64", device = device}:view{batch, 1, 1} + lengths
end

-- --- The pattern, applied and undone ------------------------------------------------------------

local APPLY = {lengths = "any?", ended = "any?"}

---Lays codes out as steps. Codes beyond an item's length are not looked at.
---@param codes gamut.Tensor [batch, codebooks, frames] or [codebooks, frames], any integers
---@param options? {lengths?: gamut.Tensor|integer[], ended?: gamut.Tensor|boolean[]} lengths: frames of
---  each item, all of them by default; ended: with `ends`, which items have an end frame (a crop has none)
---@return gamut.Tensor sequence int64 [batch, codebooks, steps(frames)]
---@return gamut.Tensor mask bool of the same shape: where a code or EOS stands
function Pattern:apply(codes, options)
  options = check("pattern:apply", options, APPLY)
  local ids, single = batched(self, "pattern:apply", codes)
  local batch, frames, device = ids.shape[1], ids.shape[3], ids.device
  local lengths = lengths_of("pattern:apply", options.lengths, batch, frames, device)
  local all = with_end(self, "pattern:apply", lengths, options.ended, batch, device)
  local steps = self:steps(frames)
  local frame = self:frame_at(steps, all, device)
  local mask = frame:ge(0)
  -- One frame more than there are, for the end frame and for holes, whose ids are set below.
  local more = gamut.cat({ids, ids:new_full({batch, self.codebooks, 1}, self.pad)}, -1)
  local sequence = more:gather(-1, frame:clamp(0, frames):expand{batch, -1, -1})
  sequence = sequence:masked_fill(frame:eq(lengths), self.eos):masked_fill(mask:logical_not(), self.hole)
  if gamut.is_tensor(all) then
    -- After the last code of any codebook there is padding, which need not be what holes hold.
    local last = mask:any(1, true):to{dtype = "int64"}:flip{-1}:cumsum(-1):flip{-1}:eq(0)
    sequence = sequence:masked_fill(last, self.pad)
  end
  sequence:narrow(-1, 0, 1):fill_(self.bos)
  mask = mask:expand{batch, -1, -1}
  if single then return sequence:squeeze(0), mask:squeeze(0) end
  return sequence, mask
end

local INVERT = {frames = "integer?", lengths = "any?", ended = "any?"}

---The codes of a sequence; frames beyond an item's length are `pad`.
---@param sequence gamut.Tensor [batch, codebooks, steps] or [codebooks, steps]
---@param options? {frames?: integer, lengths?: gamut.Tensor|integer[], ended?: gamut.Tensor|boolean[]}
---  frames: as many as fit by default; lengths and ended as for apply
---@return gamut.Tensor codes int64 [batch, codebooks, frames]
function Pattern:invert(sequence, options)
  options = check("pattern:invert", options, INVERT)
  local ids, single = batched(self, "pattern:invert", sequence)
  local batch, steps, device = ids.shape[1], ids.shape[3], ids.device
  local frames = options.frames or self:frames(steps)
  local needed = steps_of(self, frames)
  if needed > steps then
    error(("pattern:invert: %d frames of the pattern `%s` take %d steps, and the sequence has %d")
      :format(frames, self.name, needed, steps), 2)
  end
  local lengths = lengths_of("pattern:invert", options.lengths, batch, frames, device)
  local all = with_end(self, "pattern:invert", lengths, options.ended, batch, device)
  local step = step_at(self, frames, all, device)
  local codes = ids:gather(-1, step:clamp(0, steps - 1):expand{batch, -1, -1})
  if gamut.is_tensor(lengths) then
    local beyond = gamut.arange(frames, {device = device}):view{1, 1, frames}:ge(lengths)
    codes = codes:masked_fill(beyond, self.pad)
  end
  return single and codes:squeeze(0) or codes
end

local TRAINING = {lengths = "any?", ended = "any?", cut = "boolean?", ignore = "integer?"}

---What a model that predicts the next step sees and is asked for: the sequence without its last step,
---and without its first.
---@param codes gamut.Tensor as for apply
---@param options? {lengths?: gamut.Tensor|integer[], ended?: gamut.Tensor|boolean[], cut?: boolean, ignore?: integer}
---  cut: leave out the last max_delay steps, as MusicGen does in training: then delay takes frames + 1
---  steps, and the last k frames of codebook k are no targets; ignore: the target of holes and padding, -100
---@return gamut.Tensor inputs int64 [batch, codebooks, steps - 1]
---@return gamut.Tensor targets int64 of that shape, `ignore` where the mask is false
---@return gamut.Tensor mask bool of that shape: what counts in the loss
function Pattern:training(codes, options)
  options = check("pattern:training", options, TRAINING)
  local sequence, mask = self:apply(codes, {lengths = options.lengths, ended = options.ended})
  local steps = sequence.shape[#sequence.shape]
  if options.cut then steps = math.max(steps - self.max_delay, 1) end
  local counted = mask:narrow(-1, 1, steps - 1)
  local targets = sequence:narrow(-1, 1, steps - 1):masked_fill(counted:logical_not(), options.ignore or IGNORED)
  return sequence:narrow(-1, 0, steps - 1), targets, counted
end

Pattern.guide = guide.make

-- --- Which patterns there are -------------------------------------------------------------------

local patterns = {}

local IDS = {codebooks = "integer", codes = "integer?", pad = "integer?", bos = "integer?", eos = "integer?",
  hole = "integer?", ends = "boolean?"}

local function repeated(value, count)
  local list = {}
  for k = 1, count do list[k] = value(k) end
  return list
end

-- Integers from 0, one a codebook.
local function check_list(who, name, list, codebooks)
  if type(list) ~= "table" or #list ~= codebooks then
    error(("%s: `%s` must be a list of %d numbers, one a codebook"):format(who, name, codebooks), 3)
  end
  for _, value in ipairs(list) do
    if math.type(value) ~= "integer" or value < 0 then
      error(("%s: `%s` must hold whole numbers from 0, not %s"):format(who, name, tostring(value)), 3)
    end
  end
  return list
end

local function build(name, options, layout)
  local self = setmetatable({name = name, codebooks = options.codebooks, codes = options.codes or 1024}, Pattern)
  self.pad, self.bos = options.pad or self.codes, options.bos or self.codes + 1
  self.eos, self.hole = options.eos or self.codes + 2, options.hole or self.pad
  self.ends = options.ends or false
  for _, special in ipairs{"pad", "bos", "eos", "hole"} do
    if self[special] < self.codes then
      error(("patterns.%s: `%s` is %d, which is a code: ids below %d are")
        :format(name, special, self[special], self.codes), 3)
    end
  end
  if self.ends and self.eos == self.pad then
    error(("patterns.%s: with ends = true, `eos` must be an id of its own, not that of `pad`"):format(name), 3)
  end
  self.vocab_size = math.max(self.pad, self.bos, self.eos, self.hole) + 1
  local zeros = repeated(function() return 0 end, options.codebooks)
  self.stride, self.offset, self.phase = layout.stride or 1, layout.offset or zeros, layout.phase or zeros
  self.max_delay = layout.max_delay or 0
  return self
end

local function checked(name, options, more)
  local known = {}
  for key, kind in pairs(IDS) do known[key] = kind end
  for key, kind in pairs(more or {}) do known[key] = kind end
  options = check("patterns." .. name, options, known)
  if options.codebooks < 1 or (options.codes or 1) < 1 then
    error(("patterns.%s: `codebooks` and `codes` must be 1 or more"):format(name), 3)
  end
  return options
end

---@class gamut.data.PatternOptions
---@field codebooks integer
---@field codes? integer of a codebook; default 1024
---@field pad? integer default: codes
---@field bos? integer default: codes + 1
---@field eos? integer default: codes + 2
---@field hole? integer default: pad
---@field ends? boolean items end with a frame of EOS; default false

---All codebooks of frame t at step t + 1.
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.parallel(options) return build("parallel", checked("parallel", options), {}) end

---Codebook k is `delays[k]` steps behind; by default 0, 1, 2, ... (MusicGen).
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.delay(options)
  options = checked("delay", options, {delays = "table?"})
  local delays = options.delays and check_list("patterns.delay", "delays", options.delays, options.codebooks)
    or repeated(function(k) return k - 1 end, options.codebooks)
  return build("delay", options, {offset = delays, max_delay = math.max(table.unpack(delays))})
end

---One code a step: all codebooks of a frame, then the next frame.
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.flatten(options)
  options = checked("flatten", options)
  local order = repeated(function(k) return k - 1 end, options.codebooks)
  return build("flatten", options, {stride = options.codebooks, offset = order})
end

---A frame takes as many steps as there are groups; `groups[k]` says at which of them codebook k comes,
---from 0. By default {0, 1, 1, ...}: the first codebook, then all others.
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.partial_flatten(options)
  options = checked("partial_flatten", options, {groups = "table?"})
  local groups = options.groups
    and check_list("patterns.partial_flatten", "groups", options.groups, options.codebooks)
    or repeated(function(k) return k > 1 and 1 or 0 end, options.codebooks)
  return build("partial_flatten", options, {stride = math.max(table.unpack(groups)) + 1, offset = groups})
end

---The first codebook of all frames, then all others frame by frame.
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.coarse_first(options)
  options = checked("coarse_first", options)
  return build("coarse_first", options, {phase = repeated(function(k) return k > 1 and 1 or 0 end, options.codebooks)})
end

---The pattern of that name, as a configuration has it.
---@param name "delay"|"parallel"|"flatten"|"partial_flatten"|"coarse_first"
---@param options gamut.data.PatternOptions
---@return gamut.data.Pattern
function patterns.make(name, options)
  local makers = {delay = patterns.delay, parallel = patterns.parallel, flatten = patterns.flatten,
    partial_flatten = patterns.partial_flatten, coarse_first = patterns.coarse_first}
  if not makers[name] then
    error(("there is no pattern `%s`; there are coarse_first, delay, flatten, parallel and partial_flatten")
      :format(tostring(name)), 2)
  end
  return makers[name](options)
end

return patterns
