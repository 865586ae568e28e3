-- memory_cache from a script: around plugins, around a mixer of the script's own, in a model that is trained.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn
require "gamut.nn.mixers.linear_attention"

-- A matrix memory that forgets at one learned rate: S_t = r S_{t-1} + k_t v_t^T, read as S_t^T q_t. Nothing but the parts
-- of a recurrence; forward is made of them.
local Fading = nn.module "fading"

function Fading:init(options)
  for _, name in ipairs { "q_proj", "k_proj", "v_proj", "o_proj" } do
    self[name] = nn.Linear(options.d_model, options.d_model, { bias = false })
  end
  self.rate = nn.parameter(gamut.full({ 1 }, options.rate))
end

function Fading:new_state(batch)
  local d = self.options.d_model
  return nn.state { { "matrix", self.rate:new_zeros { batch, d, d } } }
end

function Fading.memory_names() return { "matrix" } end

function Fading:project(x) return { q = self.q_proj(x), k = self.k_proj(x), v = self.v_proj(x) } end

function Fading:scan(features, memory, cu_seqlens)
  local q, k, v = features.q, features.k, features.v
  local documents = nn.documents({ cu_seqlens = cu_seqlens }, q) or {}
  local rows = math.max(#documents, q.shape[1])
  local reads, after = {}, {}
  for index = 1, rows do
    local document = documents[index] or { row = index - 1, first = 0, length = q.shape[2] }
    local matrix = memory.matrix:select(0, index - 1)
    for step = document.first, document.first + document.length - 1 do
      local key, value = k:at { document.row, step }, v:at { document.row, step }
      matrix = matrix * self.rate + key:unsqueeze(1) * value:unsqueeze(0)
      reads[#reads + 1] = gamut.matmul(q:at { document.row, step }, matrix)
    end
    after[index] = matrix
  end
  return gamut.stack(reads, 0):view { q.shape[1], q.shape[2], -1 }, { matrix = gamut.stack(after, 0) }
end

function Fading.read(_, features, memories)
  return gamut.einsum("btk,bnkv->btnv", { features.q, memories.matrix })
end

function Fading.queries(_, features) return features.q end
function Fading.keys(_, features) return features.k end
function Fading:finish(read) return self.o_proj(read) end

nn.register_mixer("fading", Fading, {
  { "d_model", "integer", min = 1, doc = "width" },
  { "rate", "number", default = 0.9, min = 0, max = 1, doc = "what is left of the memory after a step" },
})

testing.test("a mixer made of parts has their forward, with states and documents", function()
  local mixer = nn.mixer("fading", { d_model = 4 }):to { dtype = "float64" }
  local x = gamut.randn({ 2, 9, 4 }, { dtype = "float64" })
  local whole, state = mixer(x), mixer:new_state(2)
  local parts = { mixer(x:narrow(1, 0, 4), { state = state }), mixer(x:narrow(1, 4, 5), { state = state }) }
  testing.close(gamut.cat(parts, 1), whole, 1e-12)
  testing.equal(state.position, 9)
  local packed = mixer(x, { cu_seqlens = gamut.tensor { 0, 9, 12, 18 } })
  testing.close(packed:at { { 1, 2 }, { 3, 9 } }, mixer(x:at { { 1, 2 }, { 3, 9 } }), 1e-12)
end)

testing.test("a script wraps its own mixer", function()
  for _, aggregation in ipairs { "gated_residual", "soup", "residual" } do
    local cached = nn.mixer("memory_cache", {
      d_model = 4, mixer = "fading", mixer_options = { rate = 0.5 }, aggregation = aggregation,
      segment_size = 3, carry_over = "independent",
    }):to { dtype = "float64" }
    local x = gamut.randn({ 2, 11, 4 }, { dtype = "float64" })
    gamut.no_grad(function()
      local whole, state, parts = cached(x), cached:new_state(2), {}
      for step = 0, 10 do parts[#parts + 1] = cached(x:narrow(1, step, 1), { state = state }) end
      testing.close(gamut.cat(parts, 1), whole, 1e-12)
      testing.equal(state["cache.matrix"].shape, { 2, 3, 4, 4 })
    end)
    cached(x):sum():backward()
    testing.is_true(cached.rate.grad:abs():item() > 0)
  end
end)

-- What caching is for: after a long stretch of noise, a memory that fades has lost what it was told, and the cached one has it.
testing.test("a cached memory recalls what the online one has forgotten", function()
  gamut.manual_seed(1)
  local options = { d_model = 8, mixer = "fading", mixer_options = { rate = 0.3 }, segment_size = 4,
    aggregation = "residual" }
  local cached = nn.mixer("memory_cache", options)
  local bare = nn.mixer("fading", { d_model = 8, rate = 0.3 })
  bare:load(cached:state_dict())
  gamut.no_grad(function()
    local x = gamut.randn { 1, 40, 8 }
    local other = x:clone()
    other:narrow(1, 0, 4):normal_()
    local function effect(mixer) return (mixer(other) - mixer(x)):narrow(1, 39, 1):abs():max():item() end
    testing.is_true(effect(bare) < 1e-6)
    testing.is_true(effect(cached) > 1e-3)
  end)
end)

testing.test("a decoder with memory_cache layers learns", function()
  gamut.manual_seed(2)
  local model = nn.Decoder {
    vocab_size = 16, d_model = 16, mlp = { kind = "swiglu", d_ff = 32 }, layers = { "memory_cache", "memory_cache" },
    mixers = { memory_cache = { mixer = "linear_attention", mixer_options = { n_heads = 2 }, segment_size = 8 } },
  }
  local plugins = require "gamut.native.plugins"
  local adamw = plugins.optimizer("adamw", { { params = model:named_parameters(), lr = 0.01 } }, {})
  local ids = gamut.randint(16, { 4, 33 })
  local losses = {}
  for _ = 1, 25 do
    local loss = model:loss(ids:narrow(1, 0, 32), ids:narrow(1, 1, 32))
    losses[#losses + 1] = loss:item()
    loss:backward()
    adamw:step()
    adamw:zero_grad()
  end
  testing.is_true(losses[25] < 0.8 * losses[1], ("%f after %f"):format(losses[25], losses[1]))
  testing.equal(nn.generate(model, ids:narrow(1, 0, 12), { steps = 9, seed = 1 }).shape[1], 4)
end)

testing.test("what cannot be wrapped, and mistakes in parts, are said in sentences", function()
  local function wrap(name, options)
    return function() nn.mixer("memory_cache", { d_model = 8, mixer = name, mixer_options = options }) end
  end
  testing.raises(wrap("attention", { n_heads = 2 }), "mixer `attention` has no memory that memory_cache could keep")
  testing.raises(wrap("fading", { rat = 1 }), "unknown option `rat` of mixer `fading`; did you mean `rate`?")
  local Half = nn.module "half"
  function Half:scan() end
  function Half:new_state() end
  testing.raises(function() nn.register_mixer("half", Half, {}) end, "mixer `half` has a scan but no `memory_names`")
  local Wrong = nn.module("wrong", Fading)
  function Wrong.read() return 3 end
  nn.register_mixer("wrong", Wrong,
    { { "d_model", "integer", doc = "width" }, { "rate", "number", default = 1, doc = "rate" } })
  local wrong = nn.mixer("memory_cache", { d_model = 4, mixer = "wrong", segment_size = 2 })
  testing.raises(function() wrong(gamut.randn { 1, 3, 4 }) end, "its read returned integer 3 instead of a tensor")
  local Deep = nn.module("deep", Fading)
  function Deep.reads_linearly() return false end
  nn.register_mixer("deep", Deep,
    { { "d_model", "integer", doc = "width" }, { "rate", "number", default = 1, doc = "rate" } })
  testing.raises(function() nn.mixer("memory_cache", { d_model = 4, mixer = "deep", aggregation = "soup" }) end,
    "needs reads that are linear in the memory; those of mixer `deep` are not")
end)

testing.finish()
