-- Layers against PyTorch's results, the decoder and generation.
-- tests/data/nn/make_goldens.py wrote the goldens.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn
require "gamut.nn.mixers.linear_attention"

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local goldens = {}
for _, entry in ipairs(gamut.safetensors.load(folder .. "/../data/nn/goldens.safetensors")) do
  goldens[entry[1] or entry.name] = entry[2] or entry.tensor
end
local x = goldens.x

local function set(parameter, value) gamut.no_grad(function() parameter:copy_(value) end) end

local function decoder(options)
  local all = {
    vocab_size = 20, d_model = 16, layers = { "linear_attention", "linear_attention" },
    mixers = { linear_attention = { n_heads = 2 } }, mlp = { kind = "swiglu", d_ff = 32 },
  }
  for name, value in pairs(options or {}) do all[name] = value end
  gamut.manual_seed(3)
  return nn.Decoder(all)
end

local function ids(shape) return gamut.randint(20, shape) end

testing.test("RMSNorm: values, gradients, bfloat16 with float32 inside", function()
  local norm = nn.RMSNorm(12)
  set(norm.weight, goldens.weight)
  local leaf = x:clone()
  leaf.requires_grad = true
  local y = norm(leaf)
  y:square():sum():backward()
  testing.close(y, goldens["rms_norm.y"], 1e-6)
  testing.close(leaf.grad, goldens["rms_norm.dx"], 1e-4)
  testing.close(norm.weight.grad, goldens["rms_norm.dweight"], 1e-4)
  local half = nn.RMSNorm(12, { weight = false })(x:to { dtype = "bfloat16" })
  testing.equal(half, goldens["rms_norm.bfloat16"])
  testing.raises(function() norm(gamut.ones { 2, 11 }) end, "last dimension of x must be 12; x is %[2, 11%]")
end)

testing.test("the fused RMSNorm equals LibTorch's, gradients and their gradients too", function()
  local fused = gamut.ops.gamut.rms_norm
  for _, d in ipairs { 1, 7, 48 } do
    for _, with_weight in ipairs { true, false } do
      -- 70 rows are more than one task takes; the transpose makes them strided.
      local base = gamut.randn({ d, 70 }, { dtype = "float64" }):t()
      local seed = gamut.randn({ 70, d }, { dtype = "float64" })
      local function run(norm)
        local leaf = base:detach()
        leaf.requires_grad = true
        local weight = with_weight and nn.parameter(gamut.linspace(0.5, 2, d, { dtype = "float64" })) or nil
        local inputs = { leaf, weight }
        local y = norm(leaf, weight)
        local grads = gamut.grad((y * seed):sum(), inputs, { create_graph = true })
        local sum = grads[1]:square():sum()
        if grads[2] then sum = sum + grads[2]:square():sum() end
        local second = gamut.grad(sum, inputs)
        y = norm(leaf, weight)
        y:backward(seed)
        return { y, leaf.grad, weight and weight.grad, table.unpack(second) }
      end
      local actual = run(function(t, w) return fused(t, w, 1e-5) end)
      local expected = run(function(t, w) return gamut.rms_norm(t, { d }, w, 1e-5) end)
      for i = 1, 5 do
        if expected[i] then testing.close(actual[i], expected[i], 1e-9) end
      end
    end
  end
  testing.raises(function() fused(x, gamut.ones { 5 }, 1e-5) end, "the weight must be %[12%]")
end)

testing.test("SwiGLU and ReLU2", function()
  local swiglu, relu2 = nn.SwiGLU(12, 24), nn.ReLU2(12, 24)
  set(swiglu.gate_proj.weight, goldens.gate)
  set(swiglu.up_proj.weight, goldens.up)
  set(swiglu.down_proj.weight, goldens.down)
  set(relu2.up_proj.weight, goldens.up)
  set(relu2.down_proj.weight, goldens.down)
  testing.close(swiglu(x), goldens.swiglu, 1e-4)
  testing.close(relu2(x), goldens.relu2, 1e-4)
  testing.is_true(swiglu.up_proj.bias == nil)
  testing.is_true(nn.SwiGLU(4, 8, { bias = true }).down_proj.bias ~= nil)
end)

testing.test("Dropout draws PyTorch's mask, and only in training", function()
  local dropout = nn.Dropout(0.25)
  gamut.manual_seed(9)
  testing.close(dropout(x), goldens.dropout, 1e-6)
  dropout:eval()
  testing.is_true(dropout(x) == x)
  testing.raises(function() nn.Dropout(1.0) end, "must lie in %[0, 1%), not 1.0")
  testing.raises(function() nn.Dropout { p = 0.1 } end, "must lie in %[0, 1%), not table")
  testing.raises(function() nn.Dropout(0.1, { inplace = true }) end, "takes one number")
end)

testing.test("ResidualBlock is x + mixer(norm x), then x + mlp(norm x)", function()
  local Halve = nn.module "Halve"
  function Halve:forward(v) return v / 2 end
  local Negate = nn.module "Negate"
  function Negate:forward(v) return -v end
  local Same = nn.module "Same"
  function Same:forward(v) return v + 1 end
  local block = nn.ResidualBlock { mixer_norm = Same(), mixer = Halve(), mlp_norm = Same(), mlp = Negate() }
  testing.equal(block(gamut.tensor { 3.0 }):tolist(), { 3 + 2 - (3 + 2 + 1.0) })
  local names = {}
  for i, child in ipairs(block:children()) do names[i] = child.name end
  testing.equal(names, { "mixer_norm", "mixer", "mlp_norm", "mlp" })
  local parts = { mixer_norm = Same(), mixer = Halve(), mlp_norm = Same(), mlp = Negate(), drop_out = 0.1 }
  testing.raises(function() nn.ResidualBlock(parts) end, "has no option `drop_out`; did you mean `dropout`?")
  testing.raises(function() nn.ResidualBlock { mixer = Halve() } end, "nn.ResidualBlock needs `mixer_norm`")
end)

testing.test("tied head: one parameter, gradients from both uses", function()
  local embed = nn.Embedding(5, 4)
  local Model = nn.module "Model"
  function Model:init() self.embed, self.head = embed, nn.TiedHead(embed) end
  function Model:forward(v) return self.head(self.embed(v)) end
  local model = Model()
  testing.equal(#model:named_parameters(), 1)
  local y = model(gamut.tensor { 1, 2 })
  testing.close(y, gamut.matmul(embed.weight:at { { 1, 3 } }, embed.weight:t()), 1e-6)
  y:sum():backward()
  testing.is_true(embed.weight.grad:at { 4 }:abs():sum():item() > 0, "no gradient through the head")
end)

testing.test("codebooks: embeddings are summed, each has its head", function()
  local embed, head = nn.CodebookEmbedding(3, 7, 4), nn.CodebookHead(3, 4, 7)
  local codes = gamut.randint(7, { 2, 3, 5 })
  local sum = embed.embeddings[1](codes:select(1, 0)) + embed.embeddings[2](codes:select(1, 1))
    + embed.embeddings[3](codes:select(1, 2))
  testing.close(embed(codes), sum, 1e-6)
  local logits = head(sum)
  testing.equal(logits.shape, { 2, 5, 3, 7 })
  testing.close(logits:select(2, 1), head.heads[2](sum), 1e-6)
  testing.raises(function() embed(gamut.zeros({ 2, 4, 5 }, { dtype = "int64" })) end, "%[batch, 3 codebooks, time%]")
end)

testing.test("decoder: names, shapes, tied count", function()
  local model = decoder { tied = true }
  testing.equal(model:named_parameters()[1].name, "embed.weight")
  testing.equal(model:named_parameters()[3].name, "blocks.0.mixer.q_proj.weight")
  local untied = decoder()
  testing.equal(untied:parameter_count() - model:parameter_count(), 20 * 16)
  testing.equal(model(ids { 2, 9 }).shape, { 2, 9, 20 })
  testing.equal(model:next_logits(ids { 2, 9 }).shape, { 2, 20 })
end)

testing.test("decoder: the loss is PyTorch's cross entropy", function()
  local logits, targets = goldens.logits, goldens.targets
  local model = decoder()
  local Fixed = nn.module "Fixed"
  function Fixed:forward() return logits end
  model.head = Fixed()
  testing.close(model:loss(ids { 2, 7 }, targets), goldens.cross_entropy, 1e-6)
end)

testing.test("decoder: the loss through head and loss at once is that of the logits", function()
  for _, options in ipairs { {}, { softcap = 0.5 }, { tied = true }, { codebooks = 2 } } do
    local one, two = decoder(options), decoder(options)
    two:load(one:state_dict())
    local shape = options.codebooks and { 2, 2, 9 } or { 2, 9 }
    local input, targets = ids(shape), ids(shape)
    targets:view { -1 }:narrow(0, 3, 2):fill_(-100)
    local logits = two(input)
    local by_logits = gamut.cross_entropy_loss(
      logits:flatten(0, -2), (options.codebooks and targets:transpose(1, 2) or targets):reshape { -1 })
    local loss = one:loss(input, targets)
    testing.close(loss, by_logits, 1e-6)
    loss:backward()
    by_logits:backward()
    for position, entry in ipairs(one:named_parameters()) do
      testing.close(entry.tensor.grad, two:named_parameters()[position].tensor.grad, 1e-5)
    end
  end
end)

testing.test("decoder: softcap, and its gradient", function()
  local plain, capped = decoder(), decoder { softcap = 0.5 }
  local input = ids { 2, 9 }
  testing.close(capped(input), gamut.tanh(plain(input) / 0.5) * 0.5, 1e-6)
  capped(input):square():sum():backward()
  gamut.square(gamut.tanh(plain(input) / 0.5) * 0.5):sum():backward()
  testing.close(capped.head.weight.grad, plain.head.weight.grad, 1e-5)
end)

testing.test("decoder: prefill and single steps equal the whole, for each of three splits", function()
  local model = decoder():to { dtype = "float64" }:eval()
  local input = ids { 3, 20 }
  gamut.no_grad(function()
    local whole = model(input)
    for _, prefill in ipairs { 1, 11, 19 } do
      local state = model:new_state(3)
      local parts = { model(input:narrow(1, 0, prefill), { state = state }) }
      for step = prefill, 19 do
        parts[#parts + 1] = model(input:narrow(1, step, 1), { state = state })
      end
      testing.equal(state.position, 20)
      testing.close(gamut.cat(parts, 1), whole, 1e-12)
    end
  end)
end)

testing.test("decoder: a cloned state stays where it was", function()
  local model = decoder():eval()
  gamut.no_grad(function()
    local input, state = ids { 1, 8 }, model:new_state(1)
    model(input:narrow(1, 0, 4), { state = state })
    local snapshot = state:clone()
    local first = model(input:narrow(1, 4, 4), { state = state })
    testing.equal(snapshot.position, 4)
    testing.equal(model(input:narrow(1, 4, 4), { state = snapshot }), first)
    testing.equal(#state:tensors(), 2)
    testing.equal(state:tensors()[2].name, "1.memory")
  end)
end)

testing.test("decoder: packed documents do not see each other", function()
  local model = decoder():to { dtype = "float64" }:eval()
  gamut.no_grad(function()
    local input = ids { 1, 12 }
    local packed = model(input, { cu_seqlens = gamut.tensor { 0, 5, 12 } })
    testing.close(packed:narrow(1, 5, 7), model(input:narrow(1, 5, 7)), 1e-12)
  end)
end)

testing.test("decoder: several codebooks train", function()
  local model = decoder { codebooks = 2 }
  local codes = ids { 2, 2, 9 }
  local logits = model(codes)
  testing.equal(logits.shape, { 2, 9, 2, 20 })
  local loss = model:loss(codes, codes)
  local by_hand = 0
  for k = 0, 1 do
    by_hand = by_hand + gamut.cross_entropy_loss(logits:select(2, k):flatten(0, 1),
      codes:select(1, k):flatten()):item() / 2
  end
  testing.close(loss:item(), by_hand, 1e-6)
  loss:backward()
  for _, entry in ipairs(model:named_parameters()) do
    testing.is_true(entry.tensor.grad ~= nil, entry.name .. " has no gradient")
  end
end)

testing.test("decoder: layers with options of their own", function()
  local model = decoder { layers = { "linear_attention", { mixer = "linear_attention", n_heads = 8 } } }
  testing.equal(model.blocks[1].mixer.options.n_heads, 2)
  testing.equal(model.blocks[2].mixer.options.n_heads, 8)
end)

testing.test("decoder: mistakes in options", function()
  local function refused(options, pattern) testing.raises(function() decoder(options) end, pattern) end
  refused({ d_modle = 3 }, "unknown option `d_modle`; there are codebooks, d_model")
  refused({ d_model = "16" }, "option `d_model` must be an integer, not string")
  refused({ layers = {} }, "layers is empty")
  refused({ mixers = { gdn = {} } }, "mixers.gdn is given, but no layer is `gdn`")
  refused({ mlp = { kind = "gelu", d_ff = 3 } }, "mlp.kind must be swiglu or relu2, not gelu")
  refused({ mlp = { kind = "swiglu", dff = 3 } }, "mlp has kind, d_ff and bias, not `dff`")
  refused({ codebooks = 2, tied = true }, "tied = true works with one codebook")
  refused({ layers = { "linear_atention" } }, "unknown mixer `linear_atention`; did you mean `linear_attention`?")
  testing.raises(function() nn.Decoder {} end, "option `vocab_size` is missing")
  testing.raises(function() decoder()(ids { 1, 4 }, { cu_seqlen = 1 }) end, "not `cu_seqlen`")
end)

testing.test("generate: greedy equals feeding the whole each time", function()
  local model = decoder():eval()
  local prompt = ids { 2, 5 }
  local made = nn.generate(model, prompt, { steps = 6, temperature = 0 })
  testing.equal(made.shape, { 2, 11 })
  local all = prompt
  gamut.no_grad(function()
    for _ = 1, 6 do all = gamut.cat({ all, model(all):select(1, -1):argmax(-1):unsqueeze(-1) }, 1) end
  end)
  testing.equal(made, all)
end)

testing.test("generate: a seed repeats, leaves the run's random numbers, and keeps the mode", function()
  local model = decoder():train()
  local prompt = ids { 1, 3 }
  gamut.manual_seed(5)
  local expected = gamut.rand { 2 }
  gamut.manual_seed(5)
  local first = nn.generate(model, prompt, { steps = 30, seed = 1 })
  testing.equal(gamut.rand { 2 }, expected)
  testing.equal(nn.generate(model, prompt, { steps = 30, seed = 1 }), first)
  testing.is_true(not gamut.equal(nn.generate(model, prompt, { steps = 30, seed = 2 }), first))
  gamut.manual_seed(3)
  local unseeded = nn.generate(model, prompt, { steps = 30 })
  gamut.manual_seed(3)
  testing.equal(nn.generate(model, prompt, { steps = 30 }), unseeded)
  testing.equal(model.training, true)
end)

testing.test("generate: codebooks and on_step", function()
  local model = decoder { codebooks = 2 }
  local seen = {}
  local made = nn.generate(model, ids { 1, 2, 3 }, { steps = 9, seed = 1, on_step = function(step_ids, step)
    seen[#seen + 1] = step
    if step == 4 then return false end
    if step == 1 then return gamut.full_like(step_ids, 7) end
  end })
  testing.equal(made.shape, { 1, 2, 3 + 4 })
  testing.equal(made:at { 0, {}, 4 }:tolist(), { 7, 7 })
  testing.equal(seen, { 0, 1, 2, 3, 4 })
end)

testing.test("sample: top_k, top_p and temperature keep what they should", function()
  local logits = gamut.log(gamut.tensor { 0.5, 0.3, 0.15, 0.05 }):expand { 4000, 4 }
  local function share(options)
    options.generator = gamut.generator { seed = 1 }
    local counts = nn.sample(logits, options):bincount(nil, 4)
    return (counts / 4000):tolist()
  end
  local function close(actual, expected)
    for i, value in ipairs(expected) do testing.close(actual[i], value, value == 0 and 0 or 0.03) end
  end
  close(share {}, { 0.5, 0.3, 0.15, 0.05 })
  close(share { top_k = 2 }, { 0.625, 0.375, 0, 0 })
  close(share { top_p = 0.79 }, { 0.625, 0.375, 0, 0 })
  close(share { top_p = 0.81 }, { 0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0 })
  close(share { top_p = 0.01 }, { 1, 0, 0, 0 })
  close(share { temperature = 0.5 }, { 0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365 })
  close(share { temperature = 0 }, { 1, 0, 0, 0 })
  testing.raises(function() nn.sample(logits, { topk = 3 }) end, "unknown option `topk`")
  testing.raises(function() nn.sample(logits, { top_p = 0 }) end, "top_p must lie above 0")
  testing.raises(function() nn.generate(decoder(), ids { 1, 0 }, { steps = 1 }) end, "prompt of one token or more")
end)

testing.test("layers refuse options that they do not have", function()
  testing.raises(function() nn.Linear(3) end, "nn.Linear takes the widths of its input and output, got 3 and nil")
  testing.raises(function() nn.Linear(3, 4, {bais = false}) end,
    "nn.Linear has no option `bais`; did you mean `bias`%?")
  testing.raises(function() nn.RMSNorm(3, {epsilon = 1}) end, "nn.RMSNorm has no option `epsilon`")
  testing.raises(function() nn.SwiGLU(3, 4, {bais = false}) end, "nn.SwiGLU has no option `bais`")
  testing.raises(function() return nn.Liner end, "gamut.nn has no `Liner`; did you mean `Linear`%?")
end)

testing.finish()
