-- The study's logs: the lines of one that was written here, cut back on resume, and reading of theirs and ours.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local testing = require "gamut.testing"
local log = require "golf.log"
local read_log = require "golf.read_log"
local sources = require "golf.sources"
local system = require "gamut.native.system"

local stem, count = os.tmpname(), 0
local RULE = ("="):rep(100)

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- A script whose text looks like a log, as the study's do.
local function script_file(folder)
  system.make_directories(folder)
  local path = folder .. "/train.lua"
  write(path, 'local s = require "golf.sources"\nstep:7/20000 val_loss:9.0000 val_bpb:9.0000\nseed:3\nstep:{s}/{n}\n')
  return path
end

-- As much of a run as a log needs.
local function fake_run(name)
  count = count + 1
  local root = ("%s_golf/%d/%s"):format(stem, count, name)
  local run = {step = 0, ms = 0.0, settings = {script = script_file(root)}, folder = {root = root}}
  run.folder.record = {device = {kind = "cpu", processor = "Some processor"}}
  function run.folder:path(...) return table.concat({self.root, ...}, "/") end
  function run:seconds() return self.ms / 1000 end
  run.model = {parameter_count = function() return 17424332 end}
  return run
end

local function hybrid_layers()
  local layers = {}
  for i = 1, 9 do
    local attention = i == 4 or i == 8
    layers[i] = {name = attention and "attention" or "gdn", options = attention and {n_heads = 8}
      or {n_heads = 8, head_dim = 42, expand_v = 2, conv_size = 4}}
  end
  return layers
end

local function info(changes)
  local all = {
    layers = hybrid_layers(), d_model = 448, n_heads = 8, n_kv_heads = 4, tokenizer = "data/fineweb_1024_bpe.model",
    data = "data/fineweb10B_sp1024", train_shards = 80, val_tokens = 62021632, context = 8192,
    train_batch_tokens = 393216, accumulate = 8, iterations = 20000, warmup_steps = 2, max_seconds = 600,
    embed_lr = 0.03, matrix_lr = 0.02, scalar_lr = 0.02, log_every = 10, seed = 1337,
  }
  for key, value in pairs(changes or {}) do all[key] = value end
  return all
end

-- The steps of a run that validates at every tenth step and at its end.
local function train_to(run, one, last)
  for step = run.step + 1, last do
    run.step, run.ms = step, step * 100.25
    one:train(run, 7 - step / 100)
    if step % 10 == 0 or step == last then one:validation(run, {loss = 2.5 - step / 1000, bpb = 1.5 - step / 1000}) end
  end
end

local function finish(run, one)
  one:stopping_early(run)
  one:peak_memory()
  one:serialized{model = 68757823, tensors = 68704560, payload = 17632760, raw_torch = 17697947, artifact = 15049958}
  one:roundtrip({loss = 2.331714412, bpb = 1.380972614}, 29877.2)
end

local function whole_run(changes, steps)
  local run = fake_run "8192_hybrid_1337"
  local one = log.open(run, info(changes))
  for i = 1, 2 do one:warmup_step(i, 2) end
  one:validation(run, {loss = 6.9334, bpb = 4.1064})
  train_to(run, one, steps or 25)
  finish(run, one)
  return run, system.read_file(run.folder.root .. "/logs/8192_hybrid_1337.txt")
end

-- The lines after the source and the second rule.
local function body_of(text)
  return text:sub(select(2, text:find("\n" .. RULE .. "\n.-\n" .. RULE .. "\n")) + 1)
end

-- What the study's lines look like: {N} a whole number, {F} a decimal one, {4} one of four decimals, {L} layers.
local LINES = {
  "val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path={P}", "train_loader:dataset:{P} train_shards:{N}",
  "val_loader:shards pattern={P} tokens:{N}", "model_params:{N}", "world_size:{N} grad_accum_steps:{N}",
  "gdn_layers:{L} attn_layers:{L}", "gdn_n_heads:{N} gdn_expand_v:{F} gdn_conv_size:{N} gdn_head_dim_ratio:{F}",
  "attention_mode:gqa num_heads:{N} num_kv_heads:{N}",
  "tie_embeddings:True embed_lr:{F} head_lr:0.0 matrix_lr:{F} scalar_lr:{F}",
  "train_batch_tokens:{N} train_seq_len:{N} iterations:{N} warmup_steps:{N} max_wallclock_seconds:{3}", "seed:{N}",
  "warmup_step:1/2", "warmup_step:2/2", "step:0/20000 val_loss:{4} val_bpb:{4} train_time:{N}ms step_avg:{2}ms",
}
local TAIL = {
  "stopping_early: wallclock_cap train_time:{N}ms step:{N}/20000", "peak memory allocated: {N} MiB reserved: {N} MiB",
  "Serialized model: {N} bytes", "Code size: {N} bytes", "Total submission size: {N} bytes",
  "Serialized model int8+zlib: {N} bytes (payload:{N} raw_torch:{N} payload_ratio:{2}x)",
  "Total submission size int8+zlib: {N} bytes", "final_int8_zlib_roundtrip val_loss:{4} val_bpb:{4} eval_time:{N}ms",
  "final_int8_zlib_roundtrip_exact val_loss:{8} val_bpb:{8}",
}
local KINDS = {P = "%S+", N = "%d+", L = "%[[%d, ]*%]", F = "%d+%.%d+"}

local function pattern_of(shape)
  local pattern = shape:gsub("[-+*.()]", "%%%0"):gsub("{(.)}", function(kind)
    return KINDS[kind] or "%d+%." .. ("%d"):rep(tonumber(kind))
  end)
  return "^" .. pattern .. "$"
end

local function expect_line(line, shape)
  if not line or not line:match(pattern_of(shape)) then
    error(("expected a line like `%s`, got `%s`"):format(shape, tostring(line)), 2)
  end
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

testing.test("a log has the study's lines, in the study's order", function()
  local _, text = whole_run()
  local lines = lines_of(body_of(text))
  for i, shape in ipairs(LINES) do expect_line(lines[i], shape) end
  local at = #LINES + 1
  local function next_line(shape)
    expect_line(lines[at], shape)
    at = at + 1
  end
  for step = 1, 25 do
    local head = ("step:%d/20000"):format(step)
    if step <= 10 or step % 10 == 0 then next_line(head .. " train_loss:{4} train_time:{N}ms step_avg:{2}ms") end
    if step % 10 == 0 or step == 25 then
      next_line(head .. " val_loss:{4} val_bpb:{4} train_time:{N}ms step_avg:{2}ms")
    end
  end
  for _, shape in ipairs(TAIL) do next_line(shape) end
  testing.equal(lines[at], nil)
end)

testing.test("figures are written as the study writes them", function()
  local run, text = whole_run()
  local code = select(2, sources.read(run.settings.script))
  for _, line in ipairs{
    "val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path=data/fineweb_1024_bpe.model",
    "train_loader:dataset:fineweb10B_sp1024 train_shards:80",
    "val_loader:shards pattern=data/fineweb10B_sp1024/fineweb_val_*.bin tokens:62021632", "model_params:17424332",
    "gdn_layers:[0, 1, 2, 4, 5, 6, 8] attn_layers:[3, 7]",
    "gdn_n_heads:8 gdn_expand_v:2.0 gdn_conv_size:4 gdn_head_dim_ratio:0.75",
    "tie_embeddings:True embed_lr:0.03 head_lr:0.0 matrix_lr:0.02 scalar_lr:0.02",
    "train_batch_tokens:393216 train_seq_len:8192 iterations:20000 warmup_steps:2 max_wallclock_seconds:600.000",
    "step:0/20000 val_loss:6.9334 val_bpb:4.1064 train_time:0ms step_avg:0.00ms",
    "step:20/20000 val_loss:2.4800 val_bpb:1.4800 train_time:2005ms step_avg:100.25ms",
    "stopping_early: wallclock_cap train_time:2506ms step:25/20000", ("Code size: %d bytes"):format(code),
    ("Total submission size: %d bytes"):format(68757823 + code),
    "Serialized model int8+zlib: 15049958 bytes (payload:17632760 raw_torch:17697947 payload_ratio:3.90x)",
    ("Total submission size int8+zlib: %d bytes"):format(15049958 + code),
    "final_int8_zlib_roundtrip val_loss:2.3317 val_bpb:1.3810 eval_time:29877ms",
    "final_int8_zlib_roundtrip_exact val_loss:2.33171441 val_bpb:1.38097261",
  } do
    testing.is_true(text:find("\n" .. line .. "\n", 1, true), "the log lacks the line " .. line)
  end
end)

testing.test("what was written is read back, figure for figure", function()
  local run, text = whole_run()
  local runs = read_log.parse(text)
  testing.equal(#runs, 1)
  local one = runs[1]
  local code = select(2, sources.read(run.settings.script))
  for name, value in pairs{
    architecture = "hybrid", context = 8192, seed = 1337, parameters = 17424332, steps = 25, step_average_ms = 100.25,
    artifact_bytes = 15049958, payload_bytes = 17632760, raw_torch_bytes = 17697947, model_bytes = 68757823,
    code_bytes = code, submission_bytes = 15049958 + code, eval_ms = 29877, train_batch_tokens = 393216,
    stopped_early = true, iterations = 20000, max_seconds = 600.0, pre_quant = {loss = 2.475, bpb = 1.475},
    post_quant = {loss = 2.33171441, bpb = 1.38097261},
  } do
    testing.equal(one[name], value)
  end
  testing.equal(one.validation, {
    step = {0, 10, 20, 25}, loss = {6.9334, 2.49, 2.48, 2.475}, bpb = {4.1064, 1.49, 1.48, 1.475},
    seconds = {0.0, 1.002, 2.005, 2.506},
  })
  testing.equal(one.train.step, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20})
  testing.equal(one.train.loss[11], 6.8)
end)

testing.test("a model of attention alone says its backends, other mixers their layers", function()
  local attention = {}
  for i = 1, 9 do attention[i] = {name = "attention", options = {}} end
  local _, base = whole_run{layers = attention, d_model = 512}
  local lines = lines_of(body_of(base))
  testing.equal(lines[6], "sdp_backends:cudnn=False flash=True mem_efficient=False math=False")
  testing.equal(lines[7], "attention_mode:gqa num_heads:8 num_kv_heads:4")
  testing.is_true(not base:find("\nGDN core:", 1, true))
  local layers = {{name = "mamba", options = {}}, {name = "attention", options = {}}}
  local _, mixed = whole_run{layers = layers, tokenizer = "bytes"}
  testing.equal(lines_of(body_of(mixed))[6], "mamba_layers:[0] attn_layers:[1]")
  testing.is_true(mixed:find("\nval_bpb:enabled tokenizer_kind=byte tokenizer_path=bytes\n", 1, true))
end)

testing.test("the source stands first, each file once, and is what is counted", function()
  local run, text = whole_run()
  local files, bytes = sources.read(run.settings.script)
  testing.equal(#files, 2)
  testing.equal(bytes, #files[1].text + #files[2].text)
  local first = "-- " .. run.settings.script .. "\n" .. files[1].text
  testing.equal(text:sub(1, #first), first)
end)

testing.test("a resumed run cuts its log back to the step it goes on from", function()
  local run, whole = whole_run()
  local path = run.folder:path("logs", "8192_hybrid_1337.txt")
  run.settings.resume = run.folder.root
  for _, left in ipairs{whole, whole:sub(1, -20), whole:sub(1, whole:find "\nstep:20/20000 val" + 12)} do
    write(path, left) -- at its end, in the last line, and killed within a line after the checkpoint of step 12
    run.step, run.saved_step, run.ms = 12, 12, 12 * 100.25
    local one = log.open(run, info())
    one:warmup_step(1, 2) -- done again by the run, said once
    train_to(run, one, 25)
    finish(run, one)
    local now = system.read_file(path):gsub("peak memory[^\n]*", "peak memory")
    testing.equal(now, (whole:gsub("peak memory[^\n]*", "peak memory")))
  end
end)

testing.test("a resumed run without a whole head in its log begins a new one", function()
  local run = whole_run()
  local path = run.folder:path("logs", "8192_hybrid_1337.txt")
  run.settings.resume = run.folder.root
  write(path, system.read_file(path):sub(1, 200))
  run.step, run.saved_step = 25, 25
  log.open(run, info())
  testing.equal(lines_of(body_of(system.read_file(path)))[11], "seed:1337")
end)

testing.test("a run that was cut off before its first checkpoint begins anew, and its log too", function()
  local run, whole = whole_run()
  run.settings.resume, run.step, run.ms = run.folder.root, 0, 0.0
  local one = log.open(run, info())
  for i = 1, 2 do one:warmup_step(i, 2) end
  one:validation(run, {loss = 6.9334, bpb = 4.1064})
  train_to(run, one, 25)
  finish(run, one)
  local now = system.read_file(run.folder:path("logs", "8192_hybrid_1337.txt")):gsub("peak memory[^\n]*", "peak memory")
  testing.equal(now, (whole:gsub("peak memory[^\n]*", "peak memory")))
end)

testing.test("a dry run writes nothing; a slip in the facts is told", function()
  local run = fake_run "dry"
  run.dry_run = true
  local one = log.open(run, info())
  train_to(run, one, 3)
  finish(run, one)
  testing.is_true(not system.exists(run.folder:path "logs"))
  testing.raises(function() log.open(fake_run "x", info{contxt = 3}) end,
    "golf.log has no option `contxt`; did you mean `context`")
end)

testing.finish()
