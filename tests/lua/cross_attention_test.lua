-- Attention over an encoder's output from Lua: the context's memory, in C++ and Lua mixers and in a decoder.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn

local function cross(options)
  local all = { d_model = 32, n_heads = 4, n_kv_heads = 2, cross = true, d_memory = 24 }
  for name, value in pairs(options or {}) do all[name] = value end
  return nn.mixer("attention", all)
end

testing.test("a cross-attention reads context.memory up to its lengths", function()
  local mixer = cross { qk_norm = "rms" }
  local x, memory = gamut.randn { 2, 5, 32 }, gamut.randn { 2, 7, 24 }
  local y = mixer(x, { memory = memory, memory_lengths = gamut.tensor { 3, 7 } })
  testing.close(y:at { 0 }, mixer(x:at { { 0, 1 } }, { memory = memory:at { { 0, 1 }, { 0, 3 } } }):at { 0 }, 1e-5)
  memory:requires_grad_()
  mixer(x, { memory = memory }):sum():backward()
  testing.equal(memory.grad.shape, { 2, 7, 24 })
end)

testing.test("a state keeps the memory of its first call", function()
  local mixer = cross()
  local x, memory = gamut.randn { 2, 5, 32 }, gamut.randn { 2, 7, 24 }
  gamut.no_grad(function()
    local state = mixer:new_state(2)
    local first = mixer(x:narrow(1, 0, 2), { state = state, memory = memory })
    local rest = mixer(x:narrow(1, 2, 3), { state = state })
    testing.close(gamut.cat({ first, rest }, 1), mixer(x, { memory = memory }), 1e-5)
    testing.equal(state.position, 5)
  end)
end)

testing.test("what is missing or does not fit is said", function()
  local mixer, x = cross(), gamut.randn { 2, 5, 32 }
  testing.raises(function() mixer(x) end, "give context.memory")
  testing.raises(function() mixer(x, { memory = gamut.randn { 2, 7, 25 } }) end, "d_memory = 24")
  testing.raises(function() mixer(x, { memory_lengths = gamut.tensor { 1, 2 } }) end,
    "context.memory, which is missing")
  testing.raises(function() cross { window = 4 } end, "leave window out")
  testing.raises(function() cross { rope = "half" } end, "leave rope out")
  testing.raises(function() nn.mixer("attention", { d_model = 32, d_memory = 8 }) end, "cross = true")
end)

testing.test("a decoder hands the memory to the layers that read one", function()
  local model = nn.Decoder {
    vocab_size = 11, d_model = 32, layers = { "attention", { mixer = "attention", cross = true, d_memory = 24 } },
    mixers = { attention = { n_heads = 2 } }, mlp = { kind = "swiglu", d_ff = 16 },
  }
  local ids, memory = gamut.randint(0, 11, { 2, 6 }), gamut.randn { 2, 7, 24 }
  gamut.no_grad(function()
    local whole = model(ids, { memory = memory })
    testing.equal(whole.shape, { 2, 6, 11 })
    testing.is_true((whole - model(ids, { memory = -memory })):abs():max():item() > 1e-6)
    local state = model:new_state(2)
    local parts = { model(ids:narrow(1, 0, 4), { state = state, memory = memory }),
      model(ids:narrow(1, 4, 2), { state = state }) }
    testing.close(gamut.cat(parts, 1), whole, 1e-4)
  end)
end)

-- A Lua mixer that declares d_memory is offered the memory when C++ calls it, as `gamut check` does.
testing.test("a mixer written in Lua reads the memory too", function()
  local Mean = nn.module "memory_mean"
  function Mean:init(options)
    self.up = nn.Linear(options.d_memory, options.d_model)
  end
  function Mean:forward(x, context)
    if not context.memory then error("give context.memory", 0) end
    if context.state then context.state.position = context.state.position + x.shape[2] end
    assert(not context.cu_seqlens)
    return x + self.up(context.memory:mean { 1 }):unsqueeze(1)
  end
  function Mean:new_state() return nn.state {} end
  nn.register_mixer("memory_mean", Mean, {
    { "d_model", "integer", min = 1, doc = "width" }, { "d_memory", "integer", min = 1, doc = "of the memory" },
  })
  local mixer = nn.mixer("memory_mean", { d_model = 8, d_memory = 4 })
  local x, memory = gamut.zeros { 2, 3, 8 }, gamut.randn { 2, 5, 4 }
  testing.close(mixer(x, { memory = memory }):at { 1, 2 }, mixer.up(memory:mean { 1 }):at { 1 }, 1e-6)
end)

testing.finish()
