-- How the golf study trains: types tensor by tensor, who is trained by which optimizer, momentum, the two schedules
-- against the rule written out, published settings, and the stream of m + 1 tokens a micro-batch.
local gamut = require "gamut"
local testing = require "gamut.testing"

package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local Model = require "golf.model"
local architectures = require "golf.architectures"
local optimizers = require "golf.optimizers"
local precision = require "golf.precision"
local published = require "golf.published"
local settings = require "golf.settings"
local schedule = gamut.train.schedule

local function build(given, vocab_size)
  gamut.manual_seed(1337)
  return Model(architectures.options(given, { vocab_size = vocab_size or 1024 }))
end

local function by_name(model)
  local tensors = {}
  for _, entry in ipairs(model:state_dict()) do tensors[entry.name] = entry.tensor end
  return tensors
end

local STAYS_BFLOAT16 = { "^tok_emb%.weight$", "%.[qkv]_conv1d%.weight$" }

local function stays(name)
  for _, pattern in ipairs(STAYS_BFLOAT16) do
    if name:match(pattern) then return true end
  end
  return false
end

testing.test("the study's types, tensor by tensor, and bfloat16's rounding in what is float32", function()
  local model = build { architecture = "hybrid" }
  local before, rounded = by_name(build { architecture = "hybrid" }), 0
  testing.equal(precision.apply(model, "bfloat16"), "bfloat16")
  for _, entry in ipairs(model:state_dict()) do
    local name, tensor = entry.name, entry.tensor
    testing.equal(tensor.dtype, stays(name) and "bfloat16" or "float32", name)
    testing.equal(tensor:float(), before[name]:to("bfloat16"):float(), name)
    if not tensor:float():equal(before[name]) then rounded = rounded + 1 end
  end
  -- Embedding, 7 x (7 matrices but the zero one, 3 convolutions, A_log, dt_bias), 2 x 3 of attention, 9 of the MLPs.
  testing.equal(rounded, 1 + 7 * (6 + 3 + 2) + 2 * 3 + 9)
end)

testing.test("bytes of the tensors are the published ones", function()
  for architecture, bytes in pairs { baseline = 67191072, hybrid = 68704560, hybrid_4k = 56600352 } do
    local model, total = build { architecture = architecture }, 0
    precision.apply(model, "bfloat16")
    for _, entry in ipairs(model:state_dict()) do
      total = total + entry.tensor:numel() * (entry.tensor.dtype == "bfloat16" and 2 or 4)
    end
    testing.equal(total, bytes, architecture)
  end
end)

testing.test("float32 casts nothing, other types are refused", function()
  local model = build({ layers = { "attention" }, d_model = 16, n_heads = 2, n_kv_heads = 1 }, 10)
  testing.equal(precision.apply(model, "float32"), nil)
  for _, entry in ipairs(model:state_dict()) do testing.equal(entry.tensor.dtype, "float32") end
  testing.raises(function() precision.apply(model, "float16") end, "bfloat16 %(the study's%) or float32, not float16")
end)

testing.test("the stream, the gradients and Adam's moments of the embedding are bfloat16", function()
  local model = build({ layers = { "gdn", "attention", "gdn" }, d_model = 32, n_heads = 4, n_kv_heads = 2 }, 40)
  local autocast = precision.apply(model, "bfloat16")
  local pair = optimizers.make(model, { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02, precision = "bfloat16" })
  local ids = gamut.randint(0, 40, { 1, 9 })
  local stream, loss = gamut.autocast(autocast, function()
    return model(ids:narrow(1, 0, 8)), model:loss(ids:narrow(1, 0, 8), ids:narrow(1, 1, 8))
  end)
  testing.equal({ stream.dtype, loss.dtype }, { "bfloat16", "float32" })
  loss:backward()
  pair.adam:step()
  local types = {}
  for _, entry in ipairs(pair.adam:state()) do types[entry[1]] = entry[2].dtype end
  testing.equal(model.tok_emb.weight.grad.dtype, "bfloat16")
  testing.equal(types["exp_avg/tok_emb.weight"], "bfloat16")
  testing.equal(types["exp_avg_sq/blocks.0.mixer.q_conv1d.weight"], "bfloat16")
  testing.equal(types["exp_avg/blocks.0.mixer.A_log"], "float32")
end)

local function count_of(group)
  local elements = 0
  for _, entry in ipairs(group) do elements = elements + entry[2]:numel() end
  return { #group, elements }
end

testing.test("the groups hold what the study's hold", function()
  local baseline = optimizers.groups(build { architecture = "baseline" })
  local hybrid = optimizers.groups(build { architecture = "hybrid" })
  testing.equal(count_of(baseline.embedding), { 1, 524288 })
  testing.equal(count_of(baseline.matrices), { 54, 16515072 })
  testing.equal(count_of(baseline.others), { 37, 20552 })
  testing.equal(count_of(hybrid.embedding), { 1, 458752 })
  testing.equal(count_of(hybrid.matrices), { 75, 16909312 })
  testing.equal(count_of(hybrid.others), { 72, 56268 })
  local names = {}
  for _, entry in ipairs(hybrid.matrices) do names[entry[1]] = true end
  testing.is_true(names["blocks.0.mixer.a_proj.weight"] and names["blocks.8.mixer.b_proj.weight"],
    "w_a and w_b are Muon's")
end)

testing.test("of other mixers too, Muon has the weights of linears and nothing else", function()
  local groups = optimizers.groups(build({ layers = { "mamba", "memory_cache" }, d_model = 32, n_heads = 4 }, 10))
  local group_of = {}
  for group, list in pairs(groups) do
    for _, entry in ipairs(list) do group_of[entry[1]] = group end
  end
  testing.equal({ group_of["blocks.0.mixer.x_proj.weight"], group_of["blocks.1.mixer.u_proj.weight"] },
    { "matrices", "matrices" })
  -- A table of decay rates by channel and state: orthogonal updates have no meaning for it.
  testing.equal({ group_of["blocks.0.mixer.A_log"], group_of["blocks.0.mixer.conv1d.weight"] }, { "others", "others" })
end)

testing.test("optimizers are made with the study's constants", function()
  local model = build({ layers = { "gdn" }, d_model = 32, n_heads = 4 }, 10)
  local pair = optimizers.make(model, { embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.04, precision = "bfloat16" })
  local muon, embedding, others = pair.muon.groups[1], pair.adam.groups[1], pair.adam.groups[2]
  testing.equal({ muon.lr, muon.nesterov, muon.ns_steps, muon.scale, muon.ns_dtype, muon.weight_decay },
    { 0.02, true, 5, "original", "bfloat16", 0.0 })
  testing.equal({ embedding.lr, embedding.beta1, embedding.beta2, embedding.eps, embedding.weight_decay },
    { 0.03, 0.9, 0.95, 1e-8, 0.0 })
  testing.equal({ others.lr, others.beta2, others.weight_decay }, { 0.04, 0.95, 0.0 })
end)

testing.test("Muon's updates are bfloat16 numbers, those of tall matrices too", function()
  for _, shape in ipairs { { 6, 3 }, { 3, 6 }, { 5, 5 } } do
    local weight = gamut.nn.parameter(gamut.zeros(shape))
    local muon = gamut.optim.muon { { params = { { "w", weight } } }, lr = 1.0, ns_dtype = "bfloat16" }
    weight.grad = gamut.randn(shape)
    muon:step()
    local update = weight:detach()
    testing.is_true(update:equal(update:to("bfloat16"):float()), "update of " .. table.concat(shape, " x "))
    -- Orthogonal up to what five steps leave, times sqrt(max(1, rows / columns)).
    local factor = math.sqrt(math.max(1, shape[1] / shape[2]) * math.min(shape[1], shape[2]))
    testing.close(update:norm():item() / factor, 0.95, 0.25)
    weight.grad = gamut.zeros(shape)
    local still = gamut.optim.muon { { params = { { "w", weight } } }, lr = 1.0, ns_dtype = "bfloat16" }
    still:step()
    testing.is_true(weight:detach():equal(update), "a zero gradient gives a zero update")
  end
end)

testing.test("momentum rises linearly over its steps, and stays", function()
  local momentum = { start = 0.92, final = 0.99, warmup_steps = 160 }
  testing.equal(optimizers.momentum(0, momentum), 0.92)
  testing.close(optimizers.momentum(40, momentum), 0.75 * 0.92 + 0.25 * 0.99, 1e-15)
  testing.equal(optimizers.momentum(160, momentum), 0.99)
  testing.equal(optimizers.momentum(5000, momentum), 0.99)
  testing.equal(optimizers.momentum(0, { start = 0.92, final = 0.99, warmup_steps = 0 }), 0.99)
end)

-- Section "optimisation" of the reference, line by line, in its milliseconds.
local function multiplier_of_the_rule(step, elapsed_ms, cap_ms, warmdown)
  local per_step = elapsed_ms / math.max(step, 1)
  local window = warmdown * per_step
  local remaining = math.max(cap_ms - elapsed_ms, 0)
  if remaining <= window then return remaining / math.max(window, 1e-9) end
  return 1.0
end

testing.test("the wall-clock schedule is the rule, on uneven steps, to the last one", function()
  local warmdown = schedule.wall_clock_warmdown { warmdown_steps = 158 }
  local elapsed, falling = 0.0, 0
  for step = 0, 445 do
    -- The first steps are slow, later ones jitter.
    local multiplier = warmdown { step = step, elapsed = elapsed, budget_seconds = 600.0 }
    testing.close(multiplier, multiplier_of_the_rule(step, 1000 * elapsed, 600000, 158), 1e-12, "step " .. step)
    if multiplier < 1 then falling = falling + 1 end
    elapsed = elapsed + (step < 10 and 4.0 or 1.30 + 0.1 * (step % 3))
  end
  testing.is_true(falling > 100, "the warm-down was reached")
  testing.is_true(elapsed > 600, "and the cap crossed")
end)

testing.test("without a cap the rates fall over the last iterations", function()
  local warmdown = schedule.linear_warmdown { warmdown_steps = 4 }
  local factors = {}
  for step = 0, 9 do factors[step + 1] = warmdown { step = step, total_steps = 10 } end
  testing.equal(factors, { 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25 })
end)

-- The keys of config.yaml that settings.resolve reads.
local function config(changes)
  local result = {
    context = 8192, model = { architecture = "hybrid", layers = {} }, momentum = {}, accumulate = 8, iterations = 20000,
    val_batch_tokens = 524288,
  }
  for key, value in pairs(changes or {}) do result[key] = value end
  return result
end

testing.test("null is the published value of the context and the architecture", function()
  local plan = settings.resolve(config())
  testing.equal(plan, {
    train_batch_tokens = 393216, warmdown_steps = 320, batch = 6, val_batch = 8,
    momentum = { start = 0.92, final = 0.99, warmup_steps = 160 },
  })
  plan = settings.resolve(config { context = 32768, model = { architecture = "baseline" }, warmdown_steps = 7 })
  testing.equal({ plan.train_batch_tokens, plan.batch, plan.val_batch, plan.momentum.warmup_steps,
    plan.warmdown_steps },
    { 524288, 2, 2, 50, 7 })
  plan = settings.resolve(config { context = 4096, model = { architecture = "hybrid_4k" } })
  testing.equal({ plan.momentum.start, plan.momentum.final, plan.momentum.warmup_steps, plan.warmdown_steps },
    { 0.85, 0.95, 500, 300 })
  testing.equal(settings.published(32768, "hybrid").seeds, { 1342, 42 })
  testing.equal(settings.published(4096, "hybrid"), nil)
end)

testing.test("seeds are those of the runs that were published", function()
  for _, run in ipairs(published.runs) do
    local seeds = {}
    for _, one in ipairs(published.cell(run.context, run.architecture)) do seeds[#seeds + 1] = one.seed end
    testing.equal(settings.published(run.context, run.architecture).seeds, seeds,
      run.architecture .. " " .. run.context)
  end
end)

testing.test("batches of the grid: sequences a micro-batch and a validation batch", function()
  for context, expected in pairs { [4096] = { 12, 16 }, [8192] = { 6, 8 }, [16384] = { 3, 4 }, [32768] = { 2, 2 } } do
    local plan = settings.resolve(config { context = context, model = { architecture = "baseline" } })
    testing.equal({ plan.batch, plan.val_batch }, expected, tostring(context))
  end
end)

testing.test("settings that cannot be trained with are refused in words", function()
  local function resolving(changes) return function() settings.resolve(config(changes)) end end
  testing.raises(resolving { context = 2048 },
    "nothing was published for hybrid at context 2048, so give train_batch_tokens, momentum.warmup_steps, "
      .. "warmdown_steps; study.lua")
  testing.raises(resolving { model = { architecture = "hybrid", layers = { "gdn" } } },
    "nothing was published for these layers")
  testing.raises(resolving { train_batch_tokens = 393217 }, "a multiple of 65536 would be")
  testing.raises(resolving { train_batch_tokens = 32768 },
    "is not accumulate 8 times a whole number of sequences of 8192")
  testing.raises(resolving { val_batch_tokens = 65528 },
    "validation batch of 8191 tokens holds no sequence of 8192: .* raise it to 65536 at least")
  testing.raises(resolving { accumulate = 0 }, "accumulate must be a whole number of at least 1, not 0")
  testing.raises(resolving { max_seconds = -600 }, "max_seconds must not be negative, got %-600")
  testing.raises(resolving { val_every = -1 }, "val_every must not be negative")
  testing.raises(resolving { momentum = { final = 1.0 } }, "momentum.final must be at least 0 and below 1, not 1.0")
  testing.raises(resolving { momentum = { warmup = 3 } }, "momentum has no option `warmup`")
end)

testing.test("micro-batch k starts at token k (m + 1), over the ends of shards, and wraps", function()
  local folder = os.tmpname()
  os.remove(folder)
  local writer = gamut.data.shard_writer { folder = folder, prefix = "fineweb_train", vocab_size = 65536,
    shard_tokens = 50 }
  writer:append(gamut.arange(120))
  local paths = writer:finish()
  local set = gamut.data.shards(folder, { split = "train", vocab_size = 65536 })
  local batches = gamut.data.batches(set, { batch = 3, context = 4 }) -- m = 12
  for k = 0, 11 do
    local x, y = batches:next()
    for i = 0, 11 do
      testing.equal(x:flatten():select(0, i):item(), (k * 13 + i) % 120)
      testing.equal(y:flatten():select(0, i):item(), (k * 13 + i + 1) % 120)
    end
    testing.equal(x.shape, { 3, 4 })
  end
  for _, path in ipairs(paths) do os.remove(path) end
  os.remove(folder)
end)

-- A shard of so many zeros, which takes no room on the disk.
local function write_zeros(path, tokens)
  local file = assert(io.open(path, "wb"))
  file:write(string.pack("<i4i4i4", 20240520, 1, tokens), ("\0"):rep(1012))
  file:seek("set", 1024 + 2 * tokens - 1)
  file:write "\0"
  file:close()
end

testing.test("validation has the published windows, sequences and batches at every context", function()
  local path = os.tmpname()
  write_zeros(path, 62024001) -- within what the published counts allow
  local set = gamut.data.shards(path, { vocab_size = 1024 })
  local counts = {
    [4096] = { 62021632, 947 }, [8192] = { 62021632, 947 }, [16384] = { 62013440, 947 }, [32768] = { 61997056, 946 },
  }
  for context, expected in pairs(counts) do
    local plan = settings.resolve(config { context = context, model = { architecture = "baseline" } })
    local windows = gamut.data.windows(set, { batch = plan.val_batch, context = context })
    testing.equal({ windows.tokens, windows.batches }, expected, tostring(context))
  end
  os.remove(path)
end)

testing.test("the windows and the scores of the study's logs give the bytes of its validation text", function()
  local bytes = { [4096] = 151080363, [8192] = 151080363, [16384] = 151061141, [32768] = 151024099 }
  for _, run in ipairs(published.runs) do
    local tokens = (62024001 - 1) // run.context * run.context
    local told = tokens * run.post_quant.loss / (math.log(2) * run.post_quant.bpb) -- of eight decimals each
    testing.close(told, bytes[run.context], 1.5, ("%s %d"):format(run.architecture, run.context))
  end
end)

testing.finish()
