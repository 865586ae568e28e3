-- The log of a run in the study's line format, beside metrics.jsonl: `<run>/logs/<name of the run folder>.txt`, so that
-- tools which parse the study's logs read ours. First the run's source, then what it runs on, then one line an event.
local gamut = require "gamut"
local check = require "gamut.options"
local plugins = require "gamut.native.plugins"
local sources = require "golf.sources"
local system = require "gamut.native.system"
local telemetry = require "gamut.native.telemetry"

local log = {}

local Log = {}
Log.__index = Log

local RULE = ("="):rep(100)

-- A float as Python shows it: 0.03, 2.0.
local function float(value)
  local text = ("%.12g"):format(value)
  return text:find "[.en]" and text or text .. ".0"
end

local function milliseconds(run) return 1000 * run:seconds() end

local function add_line(self, pattern, ...)
  if not self.file then return end
  local ok, reason = self.file:write(pattern:format(...), "\n")
  if not ok then error(("cannot write the log %s: %s"):format(self.path, reason), 0) end
end

-- "gdn_layers:[0, 1] attn_layers:[2]": the mixers by the study's names, attention last.
local function layers_line(layers)
  local of, names = {}, {}
  for i, layer in ipairs(layers) do
    local name = layer.name == "attention" and "attn" or layer.name
    if not of[name] then of[name], names[#names + 1] = {}, name end
    table.insert(of[name], i - 1)
  end
  table.sort(names, function(a, b) return a ~= "attn" and (b == "attn" or a < b) end)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = ("%s_layers:[%s]"):format(name, table.concat(of[name], ", ")) end
  return table.concat(parts, " "), #names == 1 and of.attn ~= nil
end

-- What the study prints of the first gdn layer, options that are not given by the plugin's own defaults.
local function gdn_facts(info)
  for _, layer in ipairs(info.layers) do
    if layer.name == "gdn" then
      local o, d = layer.options, info.d_model
      local heads = o.n_heads or math.max(1, d // 64)
      local head_dim = o.head_dim or math.floor(0.75 * d / heads + 0.5)
      return {heads = heads, expand_v = o.expand_v or 2, conv_size = o.conv_size or 4, ratio = head_dim * heads / d}
    end
  end
end

local function plugin_version(kind, name)
  for _, plugin in ipairs(plugins.list()) do
    if plugin.kind == kind and plugin.name == name then return plugin.version end
  end
end

-- What the study prints of Python, PyTorch, FLA and the device.
local function add_machine(self, run, gdn)
  add_line(self, RULE)
  add_line(self, "Running %s, Gamut %s", _VERSION, gamut.version)
  add_line(self, "Running LibTorch %s", gamut.libtorch_version)
  if gdn then add_line(self, "GDN core: Gamut's mixer gdn %s", plugin_version("mixer", "gdn") or "") end
  local device = run.folder.record.device
  add_line(self, "Device: %s, %s, %d threads%s", device.kind, device.gpu or device.processor or "unknown",
    gamut.num_threads(), device.kind == "cpu" and "; peak memory is what the process held, resident" or "")
  add_line(self, RULE)
end

local function add_data(self, info)
  local kind = info.tokenizer == "bytes" and "byte" or "sentencepiece"
  local folder = info.data:gsub("(.)/+$", "%1")
  add_line(self, "val_bpb:enabled tokenizer_kind=%s tokenizer_path=%s", kind, info.tokenizer)
  add_line(self, "train_loader:dataset:%s train_shards:%d", folder:match "[^/]*$", info.train_shards)
  add_line(self, "val_loader:shards pattern=%s/fineweb_val_*.bin tokens:%d", folder, info.val_tokens)
end

local function add_model(self, run, info, gdn)
  add_line(self, "model_params:%d", run.model:parameter_count())
  add_line(self, "world_size:1 grad_accum_steps:%d", info.accumulate)
  local layers, attention_only = layers_line(info.layers)
  if attention_only then
    add_line(self, "sdp_backends:cudnn=False flash=True mem_efficient=False math=False")
  else
    add_line(self, "%s", layers)
  end
  if gdn then
    add_line(self, "gdn_n_heads:%d gdn_expand_v:%s gdn_conv_size:%d gdn_head_dim_ratio:%s",
      gdn.heads, float(gdn.expand_v), gdn.conv_size, float(math.floor(gdn.ratio * 1e4 + 0.5) / 1e4))
  end
  add_line(self, "attention_mode:gqa num_heads:%d num_kv_heads:%d", info.n_heads, info.n_kv_heads)
end

local function add_training(self, info)
  add_line(self, "tie_embeddings:True embed_lr:%s head_lr:0.0 matrix_lr:%s scalar_lr:%s",
    float(info.embed_lr), float(info.matrix_lr), float(info.scalar_lr))
  add_line(self, "train_batch_tokens:%d train_seq_len:%d iterations:%d warmup_steps:%d max_wallclock_seconds:%.3f",
    info.train_batch_tokens, info.context, info.iterations, info.warmup_steps, info.max_seconds)
  add_line(self, "seed:%d", info.seed)
end

-- The source is there for the reader, and is why those who parse the study's logs look at the starts of lines.
local function add_head(self, run, info, files)
  for _, file in ipairs(files) do
    add_line(self, "-- %s", file.path)
    add_line(self, "%s", (file.text:gsub("\n$", "")))
  end
  local gdn = gdn_facts(info)
  add_machine(self, run, gdn)
  add_data(self, info)
  add_model(self, run, info, gdn)
  add_training(self, info)
end

-- What the log says up to `step`: its head and the whole lines of steps that count; nil where the head is not whole.
-- The source may hold look-alikes of any line: what happened starts behind the second rule and the seed.
local function kept_text(text, step)
  local head = text:match("^.*\n" .. RULE .. "\n.-\nseed:%-?%d+\n")
  if not head then return nil end
  local kept = {head}
  for line in text:sub(#head + 1):gmatch "([^\n]*)\n" do
    local at = tonumber(line:match "^step:(%d+)/")
    if not at and not line:find "^warmup_step:" then break end -- the end of a run that now goes on
    if not at or at <= step then kept[#kept + 1] = line .. "\n" end
  end
  return table.concat(kept)
end

-- Cuts the log of a resumed run back to its step; true where there was one to go on with.
local function cut_back(path, step)
  if not system.exists(path) then return false end
  local text = kept_text(system.read_file(path), step)
  if text then system.write_file(path, text) end
  return text ~= nil
end

---Opens the log of a run: a new one with its head, or, of a resumed run, the old one cut back to the step it goes on
---from. A dry run has none, and every call does nothing.
---@param run table what train.start returned
---@param info {layers: {name: string, options: table}[], d_model: integer, n_heads: integer, n_kv_heads: integer,
---  tokenizer: string, data: string, train_shards: integer, val_tokens: integer, context: integer,
---  train_batch_tokens: integer, accumulate: integer, iterations: integer, warmup_steps: integer,
---  max_seconds: number, embed_lr: number, matrix_lr: number, scalar_lr: number, log_every: integer, seed: integer}
---  tokenizer: a path, or "bytes"; val_tokens: those that are scored; max_seconds: 0 for no cap
---@return table log
function log.open(run, info)
  check("golf.log", info, {
    layers = "table", d_model = "integer", n_heads = "integer", n_kv_heads = "integer", tokenizer = "string",
    data = "string", train_shards = "integer", val_tokens = "integer", context = "integer",
    train_batch_tokens = "integer", accumulate = "integer", iterations = "integer", warmup_steps = "integer",
    max_seconds = "number", embed_lr = "number", matrix_lr = "number", scalar_lr = "number", log_every = "integer",
    seed = "integer",
  })
  local files, code_bytes = sources.read(run.settings.script)
  local self = setmetatable({info = info, code_bytes = code_bytes}, Log)
  if run.dry_run then return self end
  self.path = run.folder:path("logs", run.folder.root:match "([^/]+)/*$" .. ".txt")
  system.make_directories(run.folder:path "logs")
  -- Without a checkpoint the run begins anew, and so does its log.
  self.resumed = run.settings.resume and run.saved_step and cut_back(self.path, run.step)
  local reason
  self.file, reason = io.open(self.path, self.resumed and "a" or "w")
  if not self.file then error(("cannot open the log: %s"):format(reason), 0) end
  self.file:setvbuf "line" -- a crash loses what was not written yet, and no more
  if not self.resumed then add_head(self, run, info, files) end
  return self
end

---One throwaway step of the warm-up; a resumed run has them in its log already.
function Log:warmup_step(i, count)
  if not self.resumed then add_line(self, "warmup_step:%d/%d", i, count) end
end

---The mean training loss of the step just done, in nats: written of the first ten steps and of every log_every-th.
---@param loss number
function Log:train(run, loss)
  local step, every = run.step, self.info.log_every
  if step > 10 and not (every > 0 and step % every == 0) then return end
  local spent = milliseconds(run)
  add_line(self, "step:%d/%d train_loss:%.4f train_time:%.0fms step_avg:%.2fms",
    step, self.info.iterations, loss, spent, spent / math.max(step, 1))
end

---A validation after run.step steps; comes after the training line of the step.
---@param result {loss: number, bpb: number}
function Log:validation(run, result)
  local spent = milliseconds(run)
  add_line(self, "step:%d/%d val_loss:%.4f val_bpb:%.4f train_time:%.0fms step_avg:%.2fms",
    run.step, self.info.iterations, result.loss, result.bpb, spent, spent / math.max(run.step, 1))
end

---The time cap, not the iterations, ended the run.
function Log:stopping_early(run)
  add_line(self, "stopping_early: wallclock_cap train_time:%.0fms step:%d/%d",
    milliseconds(run), run.step, self.info.iterations)
end

---The most memory used so far: the device's, by tensors and in all; without one what the process held, twice.
---@return {allocated: integer, reserved: integer} bytes
function Log:peak_memory()
  local use = telemetry.memory()
  local allocated, reserved = use.device_allocated_peak, use.device_peak
  if reserved == 0 then allocated, reserved = use.resident_peak, use.resident_peak end
  add_line(self, "peak memory allocated: %d MiB reserved: %d MiB", allocated // 2 ^ 20, reserved // 2 ^ 20)
  return {allocated = allocated, reserved = reserved}
end

---Sizes in bytes: the file of the raw weights, and the int8 artifact as artifact.write told them.
---@param sizes {model: integer, tensors: integer, payload: integer, raw_torch: integer, artifact: integer}
function Log:serialized(sizes)
  check("log:serialized", sizes, {
    model = "integer", tensors = "integer", payload = "integer", raw_torch = "integer", artifact = "integer",
  })
  add_line(self, "Serialized model: %d bytes", sizes.model)
  add_line(self, "Code size: %d bytes", self.code_bytes)
  add_line(self, "Total submission size: %d bytes", sizes.model + self.code_bytes)
  add_line(self, "Serialized model int8+zlib: %d bytes (payload:%d raw_torch:%d payload_ratio:%.2fx)",
    sizes.artifact, sizes.payload, sizes.raw_torch, sizes.tensors / math.max(sizes.payload, 1))
  add_line(self, "Total submission size int8+zlib: %d bytes", sizes.artifact + self.code_bytes)
end

---The score of the model that was read back from the artifact: the log's last lines.
---@param result {loss: number, bpb: number}
---@param spent number milliseconds of the evaluation
function Log:roundtrip(result, spent)
  add_line(self, "final_int8_zlib_roundtrip val_loss:%.4f val_bpb:%.4f eval_time:%.0fms",
    result.loss, result.bpb, spent)
  add_line(self, "final_int8_zlib_roundtrip_exact val_loss:%.8f val_bpb:%.8f", result.loss, result.bpb)
end

return log
