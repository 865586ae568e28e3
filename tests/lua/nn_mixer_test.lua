-- Mixers from Lua: plugins as modules, mixers written in Lua, states, and options.
local gamut = require "gamut"
local testing = require "gamut.testing"
local plugins = require "gamut.native.plugins"
local nn = gamut.nn
require "gamut.nn.mixers.linear_attention"

local function here(pattern) return "nn_mixer_test.lua:%d+: " .. pattern end

testing.test("a plugin's mixer is a module like any other", function()
  local mixer = nn.mixer("attention", { d_model = 32, n_heads = 2 })
  testing.equal(mixer:label(), "attention")
  testing.equal(mixer.options.n_heads, 2)
  testing.is_true(mixer.options.rope_base ~= nil, "defaults are among the options")
  testing.equal(mixer:named_parameters()[1].name, "q_proj.weight")
  testing.is_true(mixer["q_proj.weight"] == mixer:named_parameters()[1].tensor)
  local x = gamut.randn { 2, 9, 32 }
  mixer(x):sum():backward()
  testing.equal(mixer["o_proj.weight"].grad.shape, { 32, 32 })
  mixer:to { dtype = "float64" }
  testing.equal(mixer(x:double()).dtype, "float64")
end)

testing.test("every mixer carries a state through prefill and steps, and packs documents", function()
  for _, name in ipairs { "attention", "gdn", "linear_attention" } do
    local mixer = nn.mixer(name, { d_model = 32, n_heads = 2 }):to { dtype = "float64" }
    local x = gamut.randn({ 2, 10, 32 }, { dtype = "float64" })
    gamut.no_grad(function()
      local whole, state, parts = mixer(x), mixer:new_state(2), {}
      for _, cut in ipairs { { 0, 6 }, { 6, 1 }, { 7, 3 } } do
        parts[#parts + 1] = mixer(x:narrow(1, cut[1], cut[2]), { state = state })
      end
      testing.close(gamut.cat(parts, 1), whole, 1e-10)
      testing.equal(state.position, 10)
      local packed = mixer(x, { cu_seqlens = gamut.tensor { 0, 10, 14, 20 } })
      testing.close(packed:at { 0 }, whole:at { 0 }, 1e-10)
      testing.close(packed:at { { 1, 2 }, { 4, 10 } }, mixer(x:at { { 1, 2 }, { 4, 10 } }), 1e-10)
    end)
  end
end)

testing.test("mistakes in options and calls name the line of the script", function()
  testing.raises(function() nn.mixer("gdn", { d_model = 8, n_head = 2 }) end,
    here "unknown option `n_head` of mixer `gdn`; did you mean `n_heads`?")
  testing.raises(function() nn.mixer("gdn", { d_model = 8, 3 }) end, here ".*a value without a name")
  testing.raises(function() nn.mixer("gdn", { d_model = { 1, a = 2 } }) end, here ".*mixes a list and names")
  testing.raises(function() nn.mixer("gdn", { d_model = { "a" } }) end,
    here ".*item 1 of it is \"a\"; lists hold numbers")
  testing.raises(function() nn.mixer("gdn", { d_model = print }) end, here ".*is function")
  testing.raises(function() nn.mixer("gdn", { d_model = "wide" }) end, here "option `d_model` of mixer `gdn`")
  testing.raises(function() nn.mixer("gdm", {}) end, here "unknown mixer `gdm`; did you mean `gdn`?")
  local mixer = nn.mixer("attention", { d_model = 8, n_heads = 2 })
  local x = gamut.randn { 1, 3, 8 }
  testing.raises(function() mixer(x, { cu_seqlen = 1 }) end, "context of a mixer has .*, not `cu_seqlen`")
  testing.raises(function() mixer(x, { state = {} }) end, "context.state must come from new_state")
  testing.raises(function() mixer(gamut.randn { 1, 3, 9 }) end,
    "^in attention: .*nn_mixer_test.lua:%d+: mixer `attention` .*attention expects x")
  testing.raises(function() mixer:new_state(0) end, "positive number of rows")
end)

testing.test("states: tensors by name, position, copies", function()
  local state = nn.state { { "sum", gamut.ones { 2, 3 } }, { "count", gamut.zeros({ 2 }, { dtype = "int64" }) } }
  testing.equal(state.position, 0)
  state.position = 5
  local copy = state:clone()
  state.sum = state.sum * 2
  testing.equal(copy.sum:tolist()[1], { 1.0, 1.0, 1.0 })
  testing.equal(state.sum:tolist()[1], { 2.0, 2.0, 2.0 })
  testing.equal(copy.position, 5)
  testing.equal(state.tensors[2].name, "count")
  testing.is_true(state.other == nil)
  testing.equal(state:to { dtype = "float64" }.sum.dtype, "float64")
  testing.equal(state:to { dtype = "float64" }.count.dtype, "int64")
  testing.raises(function() state.other = gamut.ones { 1 } end, "this state has no tensor `other`")
  testing.raises(function() nn.state { { "a", 3 } } end, here "item 1 of the tensors of a state must be {name, tensor}")
  local graph = nn.parameter(gamut.ones { 1 }) * 2
  testing.equal(nn.state({ { "a", graph } }):detach().a.requires_grad, false)
end)

testing.test("a state outlives the scope of the step that wrote it", function()
  local mixer = nn.mixer("linear_attention", { d_model = 8, n_heads = 2 })
  local state = mixer:new_state(1)
  gamut.scope(function() mixer(gamut.randn { 1, 4, 8 }, { state = state }) end)
  testing.is_true(state.memory:abs():sum():item() > 0)
end)

-- A mixer that forgets: y = a running mean with decay, per channel.
local function define(name, options)
  local Mean = nn.module "Mean"
  function Mean:init(given)
    self.rate = given.rate
    self.scale = nn.parameter(gamut.ones { given.d_model })
    self.table = nn.buffer(gamut.ones { 2 })
  end
  function Mean:new_state(batch) return nn.state { { "mean", gamut.zeros { batch, self.options.d_model } } } end
  function Mean:forward(x, context)
    self.saw_training = context.training
    local mean = context.state and context.state.mean or gamut.zeros { x.shape[1], x.shape[3] }
    local steps = {}
    for step = 0, x.shape[2] - 1 do
      mean = mean * (1 - self.rate) + x:select(1, step) * self.rate
      steps[#steps + 1] = mean
    end
    if context.state then
      context.state.mean = mean
      context.state.position = context.state.position + x.shape[2]
    end
    return gamut.stack(steps, 1) * self.scale
  end
  nn.register_mixer(name, Mean, options or {
    { "d_model", "integer", min = 1, doc = "width" },
    { "rate", "number", default = 0.5, min = 0, max = 1, doc = "how fast it forgets" },
    { "kind", "string", default = "plain", choices = { "plain", "other" }, doc = "which" },
  })
  return Mean
end

testing.test("a mixer in Lua: options declared once, checked and completed", function()
  define "mean"
  local mixer = nn.mixer("mean", { d_model = 3 })
  testing.equal(mixer.options, { d_model = 3, rate = 0.5, kind = "plain" })
  testing.equal(mixer:label(), "mean")
  testing.raises(function() nn.mixer("mean", { d_model = 3, rate = 2 }) end, here "option `rate` of mixer `mean` is 2")
  testing.raises(function() nn.mixer("mean", { d_model = 3, kind = "odd" }) end, "`kind`")
  testing.raises(function() nn.mixer("mean", {}) end, here ".*`d_model`")
  define("open",
    { { "d_model", "integer", above = 0, doc = "width" }, { "rate", "number", default = 0.5, below = 1, doc = "r" } })
  testing.raises(function() nn.mixer("open", { d_model = 0 }) end, "`d_model` .* is 0")
  testing.raises(function() nn.mixer("open", { d_model = 1, rate = 1 }) end, "`rate` .* is 1")
  testing.equal({ plugins.options("mixer", "open")[1].above, plugins.options("mixer", "open")[2].below }, { 0.0, 1.0 })
  testing.equal(plugins.options("mixer", "mean")[2].doc, "how fast it forgets")
  mixer(gamut.randn { 1, 2, 3 })
  testing.equal(mixer.saw_training, true)
  mixer:eval()(gamut.randn { 1, 2, 3 })
  testing.equal(mixer.saw_training, false)
  mixer(gamut.randn { 1, 2, 3 }, { training = true })
  testing.equal(mixer.saw_training, true)
end)

testing.test("a mixer in Lua answers to plugins through the C++ contract", function()
  local native = plugins.mixer("mean", { d_model = 3 })
  local tensors = native:tensors()
  testing.equal({ tensors[1].name, tensors[1].kind, tensors[2].name, tensors[2].kind },
    { "scale", "parameter", "table", "buffer" })
  local state = native:new_state(2)
  local x = gamut.ones { 2, 2, 3 }
  local y = native:forward(x, { state = state }, false)
  testing.equal(y:at { 0, {}, 0 }:tolist(), { 0.5, 0.75 })
  testing.equal(state.position, 2)
  testing.equal(state.mean:at { 1 }:tolist(), { 0.75, 0.75, 0.75 })
  y:sum():backward()
  testing.equal(tensors[1].tensor.grad:tolist(), { 2.5, 2.5, 2.5 })
  testing.raises(function() native:forward(gamut.ones { 2, 3 }, nil, false) end,
    "mixer `mean` failed in forward: in mean: x must be %[batch, time >= 1, 3%]")
  -- From inside a coroutine too: the call back must use the thread that runs.
  local inside = coroutine.wrap(function() return native:forward(x, nil, true) end)
  testing.equal(inside(), y:detach())
end)

testing.test("a state that was lent to a forward expires with it", function()
  local kept
  local Keeper = nn.module "Keeper"
  function Keeper:init() end
  function Keeper:new_state(batch) return nn.state { { "a", gamut.zeros { batch } } } end
  function Keeper:forward(x, context)
    kept = context.state
    return x
  end
  nn.register_mixer("keeper", Keeper, {})
  local native = plugins.mixer("keeper", {})
  local state = native:new_state(1)
  pcall(native.forward, native, gamut.ones { 1, 1, 1 }, { state = state }, false)
  testing.raises(function() return kept.position end, "belonged to a call that has ended")
  testing.equal(state.position, 0)
end)

testing.test("mistakes in writing a mixer", function()
  local Empty = nn.module "Empty"
  testing.raises(function() nn.register_mixer("empty", Empty, {}) end, "needs a forward%(x, context%) and a new_state")
  testing.raises(function() define("gdn") end, "a name that the plugin .*gdn.so` has")
  testing.raises(function() define("m1", { { "a", "int", doc = "d" } }) end, "unknown type `int`; there are boolean")
  testing.raises(function() define("m2", { { "a", "integer", minimum = 1, doc = "d" } }) end, "declared with `minimum`")
  testing.raises(function() define("m3", { { "a", "number", default = 3, max = 2, doc = "d" } }) end, "`a`")
  local Bad = nn.module "Bad"
  function Bad:forward() return 3 end
  function Bad:new_state() return {} end
  nn.register_mixer("bad", Bad, {})
  local native = plugins.mixer("bad", {})
  testing.raises(function() native:forward(gamut.ones { 1, 1, 1 }, nil, false) end,
    "returned integer 3 instead of a tensor")
  testing.raises(function() native:new_state(1) end, "instead of a state made by nn.state")
end)

testing.test("documents that a mixer ignores and a state that stands still are errors", function()
  local mixer = nn.mixer("mean", { d_model = 3 })
  testing.raises(function() mixer(gamut.ones { 1, 4, 3 }, { cu_seqlens = gamut.tensor { 0, 2, 4 } }) end,
    "did not read it, so documents would leak")
  local Still = nn.module "Still"
  function Still:forward(x) return x end
  function Still:new_state(batch) return nn.state { { "a", gamut.zeros { batch } } } end
  nn.register_mixer("still", Still, {})
  local still = nn.mixer("still")
  testing.raises(function() still(gamut.ones { 1, 4, 3 }, { state = still:new_state(1) }) end,
    "must add the 4 steps it read to context.state.position, which is 0 after 0")
end)

testing.test("an optimizer's groups read and write checked options", function()
  local linear = nn.Linear(3, 2)
  local adamw = plugins.optimizer("adamw", {
    { params = { linear:named_parameters()[1] }, lr = 0.1 }, { params = { linear:named_parameters()[2] } },
  }, { lr = 0.5 })
  testing.equal({ adamw.groups[1].lr, adamw.groups[2].lr }, { 0.1, 0.5 })
  testing.equal(adamw.groups[1].params[1].name, "weight")
  adamw.groups[1].lr = 0
  testing.equal(adamw.groups[1].lr, 0.0)
  testing.raises(function() adamw.groups[1].lrr = 1 end,
    here "unknown option `lrr` of group 1 of optimizer `adamw`; did you mean `lr`?")
  testing.raises(function() adamw.groups[1].lr = "fast" end, here "option `lr` of group 1")
  testing.raises(function() return adamw.group end, "an optimizer has no `group`")
  linear(gamut.ones { 1, 3 }):sum():backward()
  local weight, bias = linear.weight:detach():clone(), linear.bias:detach():clone()
  adamw:step()
  testing.is_true(not gamut.equal(linear.bias, bias))
  testing.close(linear.weight, weight, 0)
  local state = adamw:state()
  adamw:load_state(state)
  adamw:zero_grad()
  testing.is_true(linear.bias.grad == nil)
end)

testing.test("a tokenizer encodes, decodes and tells about itself", function()
  local bytes = plugins.tokenizer("bytes", {})
  local codes = bytes:encode("héllo")
  testing.equal(codes.shape, { 1, 6 })
  testing.equal(bytes:decode(codes), "héllo")
  testing.equal({ bytes.vocab_size, bytes.codebooks, bytes.is_audio, bytes.name }, { 260, 1, false, "bytes" })
  testing.equal(bytes.special_ids.bos, 1)
  local encoder = bytes:new_encoder()
  local pieces = { encoder:push("hé"), encoder:push("llo"), encoder:finish() }
  testing.equal(gamut.cat(pieces, 1), codes)
  testing.equal(bytes:byte_counts(codes:at { 0 }, codes:at { 0 }):sum():item(), 6)
  testing.raises(function() bytes:encode(3) end, "encodes text, a string, not integer 3")
  testing.raises(function() return bytes.vocab end, "a tokenizer has no `vocab`")
end)

testing.finish()
