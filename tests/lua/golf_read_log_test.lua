-- Reading logs of the study's format: made-up ones as theirs are, damaged ones, and one that log.lua wrote.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local testing = require "gamut.testing"
local published = require "golf.published"
local read_log = require "golf.read_log"

local RULE = ("="):rep(100)

-- Source as theirs is: lines that look like a run's, with names in place of numbers, and one with numbers.
local SOURCE = [[
def main() -> None:
    log0(f"step:{step}/{args.iterations} val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f} train_time:{ms:.0f}ms "
step:{step}/{args.iterations} train_loss:{loss:.4f} train_time:{ms:.0f}ms step_avg:{ms / step:.2f}ms
"""
step:999/20000 val_loss:9.0000 val_bpb:9.0000 train_time:999ms step_avg:1.00ms
seed:{args.seed}
"""
]]

local BASELINE_HEAD = [[
val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path=./data/tokenizers/fineweb_1024_bpe.model
train_loader:dataset:fineweb10B_sp1024 train_shards:80
val_loader:shards pattern=./data/datasets/fineweb10B_sp1024/fineweb_val_*.bin tokens:62021632
model_params:17059912
world_size:1 grad_accum_steps:8
sdp_backends:cudnn=False flash=True mem_efficient=False math=False
attention_mode:gqa num_heads:8 num_kv_heads:4
tie_embeddings:True embed_lr:0.03 head_lr:0.0 matrix_lr:0.02 scalar_lr:0.02
train_batch_tokens:393216 train_seq_len:8192 iterations:20000 warmup_steps:20 max_wallclock_seconds:600.000
seed:1337
]]
local HYBRID_HEAD = BASELINE_HEAD:gsub("17059912", "17424332"):gsub("sdp_backends[^\n]*",
  "gdn_layers:[0, 1, 2, 4, 5, 6, 8] attn_layers:[3, 7]\n"
  .. "gdn_n_heads:8 gdn_expand_v:2.0 gdn_conv_size:4 gdn_head_dim_ratio:0.75")

-- The lines of a published run from the first step on, as its log has them.
local function steps_of(run)
  local lines = {}
  local function add(pattern, ...) lines[#lines + 1] = pattern:format(...) end
  local trained = 1
  for i, step in ipairs(run.validation.step) do
    while run.train and trained <= 10 and trained <= step do
      local loss = run.train.loss[trained]
      add("step:%d/20000 train_loss:%.4f train_time:%dms step_avg:100.00ms", trained, loss, 100 * trained)
      trained = trained + 1
    end
    local loss = step == run.steps and run.pre_quant.loss or 2
    add("step:%d/20000 val_loss:%.4f val_bpb:%.4f train_time:%.0fms step_avg:%.2fms", step, loss,
      run.validation.bpb[i], run.step_average_ms * step, run.step_average_ms)
  end
  add("stopping_early: wallclock_cap train_time:600123ms step:%d/20000", run.steps)
  add("peak memory allocated: %d MiB reserved: %d MiB", run.peak_mib.allocated, run.peak_mib.reserved)
  add("Serialized model: 67224983 bytes")
  add("Code size: %d bytes", run.code_bytes)
  add("Total submission size: %d bytes", 67224983 + run.code_bytes)
  add("Serialized model int8+zlib: %d bytes (payload:17178912 raw_torch:17224025 payload_ratio:3.91x)",
    run.artifact_bytes)
  add("Total submission size int8+zlib: %d bytes", run.submission_bytes)
  local loss, bpb = run.post_quant.loss, run.post_quant.bpb
  add("final_int8_zlib_roundtrip val_loss:%.4f val_bpb:%.4f eval_time:%dms", loss, bpb, run.eval_ms)
  add("final_int8_zlib_roundtrip_exact val_loss:%.8f val_bpb:%.8f", loss, bpb)
  return table.concat(lines, "\n") .. "\n"
end

local function log_of(run, head)
  local warmup = "warmup_step:1/20\nwarmup_step:20/20\n"
  return SOURCE .. RULE .. "\nRunning Python 3.12.3\nRunning PyTorch 2.9.1+cu128\n" .. RULE .. "\n"
    .. (head or BASELINE_HEAD) .. warmup .. steps_of(run)
end

-- Every figure of the published run is in what was read.
local function agrees(read, run)
  for _, name in ipairs { "architecture", "context", "seed", "parameters", "steps", "step_average_ms", "pre_quant",
    "post_quant", "artifact_bytes", "submission_bytes", "code_bytes", "peak_mib", "eval_ms" } do
    testing.equal(read[name], run[name])
  end
  testing.equal(read.validation.step, run.validation.step)
  testing.equal(read.validation.bpb, run.validation.bpb)
  if run.train then
    testing.equal(read.train.loss, run.train.loss)
    testing.equal(read.train.step, run.train.step)
  end
end

testing.test("a log as the study's gives back its figures", function()
  local base, hybrid = published.cell(8192, "baseline")[1], published.cell(8192, "hybrid")[1]
  local runs = read_log.parse(log_of(base))
  testing.equal(#runs, 1)
  agrees(runs[1], base)
  testing.equal(runs[1].stopped_early, true)
  testing.equal(runs[1].train.seconds[10], 1.0)
  testing.equal(runs[1].iterations, 20000)
  agrees(read_log.parse(log_of(hybrid, HYBRID_HEAD))[1], hybrid)
end)

testing.test("a file with two runs of one seed gives both, the last last", function()
  local first, last = table.unpack(published.cell(16384, "hybrid"))
  local text = log_of(first, HYBRID_HEAD) .. log_of(last, HYBRID_HEAD)
  local runs = read_log.parse(text)
  testing.equal(#runs, 2)
  testing.equal(runs[1].post_quant, first.post_quant)
  testing.equal(runs[2].post_quant, last.post_quant)
  -- The first broken off: it is a run without a score, and the second is not mixed into it.
  local cut = text:sub(1, text:find "\nstep:500/" - 1) .. "\n" .. log_of(last, HYBRID_HEAD)
  runs = read_log.parse(cut)
  testing.equal(#runs, 2)
  testing.equal(runs[1].post_quant, nil)
  testing.equal(runs[1].steps, 400)
  testing.equal(runs[2].validation.bpb, last.validation.bpb)
end)

testing.test("a damaged top, with a copy of the results before the source, is one run", function()
  local run = published.cell(8192, "hybrid")[1]
  for _, copy in ipairs { steps_of(run), HYBRID_HEAD .. steps_of(run), steps_of(run):match "(\npeak.*)" } do
    local runs = read_log.parse("*** launcher: seed 42 ***\nseed:abc\n" .. copy .. log_of(run, HYBRID_HEAD))
    testing.equal(#runs, 1)
    agrees(runs[1], run)
  end
end)

testing.test("what is no run is none: sources, torn lines, lines inside of others", function()
  testing.equal(read_log.parse(SOURCE .. RULE), {})
  testing.equal(read_log.parse "", {})
  local whole = log_of(published.cell(8192, "baseline")[1])
  local torn = read_log.parse(whole:sub(1, whole:find "\nstep:600/" + 20))[1]
  testing.equal(torn.steps, 500)
  testing.equal(read_log.parse((whole:gsub("\n", "\n> "))), {})
  local crlf = read_log.parse((whole:gsub("\n", "\r\n")))[1]
  agrees(crlf, published.cell(8192, "baseline")[1])
end)

testing.test("a file without a run is an error that names it", function()
  local path = os.tmpname()
  testing.raises(function() read_log.file(path) end, path .. " holds no run in the study's line format")
  local file = assert(io.open(path, "w"))
  local one, two = table.unpack(published.cell(32768, "hybrid"))
  file:write(log_of(one, HYBRID_HEAD), log_of(two, HYBRID_HEAD)):close()
  testing.equal(#read_log.file(path), 2)
  local last = read_log.file(path, { last = true })
  testing.equal(#last, 1)
  testing.equal(last[1].post_quant, two.post_quant)
  os.remove(path)
end)

testing.test("the published tables agree with one another and with the text", function()
  testing.equal(#published.runs, 12)
  for context, summary in pairs(published.summary) do
    for _, architecture in ipairs { "baseline", "hybrid" } do
      local sum, runs = 0, published.cell(context, architecture)
      for _, run in ipairs(runs) do sum = sum + run.post_quant.bpb end
      testing.close(sum / #runs, summary[architecture], 6e-5)
    end
    testing.close(summary.hybrid - summary.baseline, summary.difference, 5e-4)
    testing.close(summary.baseline_ms / summary.hybrid_ms, summary.speed, 6e-3)
  end
  for _, run in ipairs(published.runs) do
    testing.close(run.pre_quant.bpb, run.post_quant.bpb, 3e-3)
    testing.is_true(run.submission_bytes < 16000000)
  end
  testing.equal(published.cell(32768, "hybrid")[1].seed, 1342)
  testing.equal(published.cell(8192, "baseline")[1].steps, 1011)
  testing.equal(published.cell(8192, "hybrid_4k"), {})
end)

testing.test("logs of the study can stand in the place of its tables", function()
  local before = published.cell(16384, "hybrid")
  local read = read_log.parse(log_of(before[2], (HYBRID_HEAD:gsub("8192", "16384"):gsub("seed:1337", "seed:1341"))))
  published.lay(read)
  local after = published.cell(16384, "hybrid")
  testing.equal(#after, 2)
  testing.equal(after[2], read[1])
  testing.equal(after[2].post_quant, before[2].post_quant)
  testing.close(after[2].validation.seconds[2], 50 * before[2].step_average_ms / 1000, 1e-3)
  published.lay(read_log.parse(log_of(before[1], (HYBRID_HEAD:gsub("8192", "16384"):gsub("seed:1337", "seed:8")))))
  testing.equal(#published.cell(16384, "hybrid"), 3)
  local broken = read_log.parse(log_of(before[1], HYBRID_HEAD):match "^.*\nstep:600/[^\n]*\n")
  testing.raises(function() published.lay(broken) end, "the log of seed 1337 at context 8192 ends before the score")
end)

testing.finish()
