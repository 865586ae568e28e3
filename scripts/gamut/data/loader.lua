-- Training batches from a token set, in order or shuffled, made ahead of time on a thread.

local check = require "gamut.options"
local native = require "gamut.native.data"
local position = require "gamut.data.position"
local to_device = require "gamut.data.to_device"

---@class gamut.data.LoaderOptions
---@field batch integer windows a batch
---@field context integer tokens a window
---@field order? "sequential"|"shuffled" default: sequential
---@field seed? integer of the shuffle
---@field prefetch? integer batches that lie ready at most; default 2, with 0 there is no thread
---@field device? string where batches are put

---@class gamut.data.Loader
---@field fingerprint string of the set, for resuming on the same data
---@field windows integer of an epoch of the shuffled order
---@field set gamut.data.TokenSet
local Loader = {}
Loader.__index = Loader

---Batches without end. `order = "sequential"` is the stream of Parameter Golf: each batch is the
---next batch * context + 1 tokens. `order = "shuffled"` visits windows of `context` tokens, each once
---an epoch, in an order that `seed` and the epoch give; it costs no memory whatever the size.
---@param set gamut.data.TokenSet
---@param options gamut.data.LoaderOptions
---@return gamut.data.Loader
local function batches(set, options)
  if type(set) ~= "userdata" then
    error(("data.batches takes a token set, such as data.text_corpus{...}.train, then a table of options; got a %s")
      :format(type(set)), 2)
  end
  check("data.batches", options, {
    batch = "integer", context = "integer", order = "string?", seed = "integer?",
    prefetch = "integer?", device = "string?",
  })
  local order = options.order or "sequential"
  if order ~= "sequential" and order ~= "shuffled" then
    error(("data.batches: order must be \"sequential\" or \"shuffled\", got %q"):format(order), 2)
  end
  local source = native.loader(set, {
    batch = options.batch, context = options.context, shuffled = order == "shuffled",
    seed = options.seed, prefetch = options.prefetch,
  })
  return setmetatable({
    source = source, set = set, order = order, seed = options.seed or 0, context = options.context,
    device = options.device, windows = source:windows(), fingerprint = set.fingerprint,
  }, Loader)
end

---@return gamut.Tensor x int64 [batch, context]
---@return gamut.Tensor y the same, one token later
function Loader:next()
  return to_device(self.device, self.source:next())
end

---Where the next batch begins, as a plain table; what lies ready in the queue does not count.
---@return table
function Loader:state() return position.save(self, {"order", "seed", "context"}) end

---Goes there. The batch size and the queue may differ from those of the saved loader; what gives
---positions their meaning may not.
---@param state table
function Loader:load_state(state)
  position.load(self, state, self.order == "shuffled" and {"order", "seed", "context"} or {"order"})
end

return batches
