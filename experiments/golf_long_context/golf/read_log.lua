-- Reads logs in the study's line format, the study's own and ours, into the shape of published.lua.
--
-- A log embeds its source, whose lines can look like those of a run; some hold two runs, one a second copy of its
-- results in front of the source. So only whole lines with numbers in their places count, a run begins where a head
-- begins or steps start over, and of two copies of a run one counts.
local check = require "gamut.options"
local system = require "gamut.native.system"

local read_log = {}

local NUMBER = "(%-?%d+%.?%d*)"

-- "N" is a number: "seed:N" -> "^seed:(%-?%d+%.?%d*)%s*$"
local function line_pattern(shape)
  local pattern = shape:gsub("[-+*.()%[%]]", "%%%0"):gsub("N", function() return NUMBER end)
  return "^" .. pattern .. "%s*$"
end

-- A curve of a run: its columns are lists of one length.
local function append(run, name, point)
  run[name] = run[name] or { step = {} }
  local curve = run[name]
  local at = #curve.step + 1
  for column, value in pairs(point) do
    curve[column] = curve[column] or {}
    curve[column][at] = value
  end
end

-- What the layers make of it: the published architectures by name, any other by its lists.
local function architecture_of(layers)
  local attention = layers:match "^gdn_layers:%[[%d, ]*%] attn_layers:%[([%d, ]*)%]%s*$"
  if attention == "3, 7" then return "hybrid" end
  if attention == "3, 7, 8" then return "hybrid_4k" end
  return (layers:gsub("_layers:", " "))
end

-- The lines of a run, in their order: the shape, and what its numbers say. `head` lines come before the first step.
local LINES = {
  { "model_params:N", head = true, function(run, n) run.parameters = math.tointeger(n) end },
  { "sdp_backends:cudnn=False flash=True mem_efficient=False math=False", head = true,
    function(run) run.architecture = "baseline" end },
  { "train_batch_tokens:N train_seq_len:N iterations:N warmup_steps:N max_wallclock_seconds:N", head = true,
    function(run, batch, context, iterations, _, seconds)
      run.train_batch_tokens, run.context = math.tointeger(batch), math.tointeger(context)
      run.iterations, run.max_seconds = math.tointeger(iterations), seconds
    end },
  { "seed:N", head = true, function(run, n) run.seed = math.tointeger(n) end },
  { "step:N/N val_loss:N val_bpb:N train_time:Nms step_avg:Nms", step = true,
    function(run, step, _, loss, bpb, ms, average)
      append(run, "validation", { step = math.tointeger(step), loss = loss, bpb = bpb, seconds = ms / 1000 })
      run.steps, run.step_average_ms, run.pre_quant = math.tointeger(step), average, { loss = loss, bpb = bpb }
    end },
  { "step:N/N train_loss:N train_time:Nms step_avg:Nms", step = true,
    function(run, step, _, loss, ms)
      append(run, "train", { step = math.tointeger(step), loss = loss, seconds = ms / 1000 })
    end },
  { "stopping_early: wallclock_cap train_time:Nms step:N/N", function(run) run.stopped_early = true end },
  { "peak memory allocated: N MiB reserved: N MiB",
    function(run, allocated, reserved)
      run.peak_mib = { allocated = math.tointeger(allocated), reserved = math.tointeger(reserved) }
    end },
  { "Serialized model: N bytes", function(run, n) run.model_bytes = math.tointeger(n) end },
  { "Code size: N bytes", function(run, n) run.code_bytes = math.tointeger(n) end },
  { "Serialized model int8+zlib: N bytes (payload:N raw_torch:N payload_ratio:Nx)",
    function(run, artifact, payload, raw)
      run.artifact_bytes, run.payload_bytes = math.tointeger(artifact), math.tointeger(payload)
      run.raw_torch_bytes = math.tointeger(raw)
    end },
  { "Total submission size int8+zlib: N bytes", function(run, n) run.submission_bytes = math.tointeger(n) end },
  { "final_int8_zlib_roundtrip val_loss:N val_bpb:N eval_time:Nms",
    function(run, _, _, ms) run.eval_ms = math.tointeger(ms) end },
  { "final_int8_zlib_roundtrip_exact val_loss:N val_bpb:N", last = true,
    function(run, loss, bpb) run.post_quant = { loss = loss, bpb = bpb } end },
}
for _, line in ipairs(LINES) do line.pattern = line_pattern(line[1]) end

local function numbers(first, ...)
  if first == nil then return end
  return tonumber(first), numbers(...)
end

-- Whether a line cannot belong to the run so far: a head after steps, a step or time of the past, whatever follows the
-- end. The last two numbers of a step's line are milliseconds in all and on average.
local function starts_anew(run, line, values)
  if run.post_quant then return true end
  if line.head then return run.latest ~= nil end
  return line.step and run.latest and (values[1] < run.latest.step or values[#values - 1] < run.latest.ms)
end

-- The pieces of a text that could be runs, in their order.
local function pieces(text)
  local found, run = {}, {}
  local function run_of(line, values)
    if starts_anew(run, line, values) then
      found[#found + 1] = run
      run = {}
    end
    if line.step then run.latest = { step = values[1], ms = values[#values - 1] } end
    return run
  end
  for line in text:gmatch "[^\r\n]+" do
    if line:find "^%a+_layers:%[[%d, ]*%]" and line:find "%]%s*$" then
      run_of { head = true }.architecture = architecture_of(line)
    end
    for _, kind in ipairs(LINES) do
      if line:find(kind.pattern) then
        local values = { numbers(line:match(kind.pattern)) }
        kind[2](run_of(kind, values), table.unpack(values))
        break
      end
    end
  end
  found[#found + 1] = run
  return found
end

-- Whether `other` tells the same run: eight digits of the score and the pace do not meet by chance.
local function same_run(one, other)
  return one.post_quant and other.post_quant and one.steps == other.steps
    and one.post_quant.loss == other.post_quant.loss and one.step_average_ms == other.step_average_ms
end

-- A run has steps, and a head or at least a score; of copies the last counts, one with a head before one without.
local function is_run(all, at)
  local piece = all[at]
  local whole = piece.parameters and piece.context
  if not piece.steps or not (whole or piece.post_quant) then return false end
  for i, other in ipairs(all) do
    local better = other.parameters and (not whole or i > at) or not whole and i > at
    if i ~= at and better and same_run(piece, other) then return false end
  end
  return true
end

---The runs in the text of a log, in their order; none is an empty list.
---@param text string
---@return table[] runs in the shape of published.lua
function read_log.parse(text)
  local all, runs = pieces(text), {}
  for i, piece in ipairs(all) do
    if is_run(all, i) then runs[#runs + 1] = piece end
  end
  for _, run in ipairs(runs) do run.latest = nil end
  return runs
end

---The runs in a log file; one without any is an error.
---@param path string
---@param options? {last: boolean} only the last run, which the study reports of a file with several
---@return table[] runs
function read_log.file(path, options)
  options = check("read_log.file", options, { last = "boolean?" })
  local runs = read_log.parse(system.read_file(path))
  if #runs == 0 then error(("%s holds no run in the study's line format"):format(path), 0) end
  return options.last and { runs[#runs] } or runs
end

return read_log
