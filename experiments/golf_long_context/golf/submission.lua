-- submission.json, as the challenge asks for one: of a run, and of a study over the seeds of each context and model.
-- Who submits and what it is called comes from the configuration; what is not given there is null, for the person who
-- submits to fill in.
local check = require "gamut.options"
local json = require "gamut.native.json"
local system = require "gamut.native.system"

local submission = {}

-- Bytes of an artifact with its code that the challenge allows, counted in decimal.
submission.LIMIT = 16000000

local NOTES = "bytes_code counts the Lua files of the experiment that a run reads; what runs them is a library"

local function or_null(value)
  if value == nil then return json.null end
  return value
end

-- `runs`: {seed =, loss =, bpb =, bytes =, code_bytes =}, one or more; the score is their mean, the size the largest.
local function content(context, runs, identity)
  check("submission", identity, {
    author = "string?", github_id = "string?", name = "string?", blurb = "string?", track = "string?",
    notes = "string?",
  })
  local seeds, by_seed, loss, bpb, bytes, code = json.array {}, {}, 0.0, 0.0, 0, 0
  for i, run in ipairs(runs) do
    seeds[i] = run.seed
    by_seed[tostring(run.seed)] = { val_bpb = run.bpb, val_loss = run.loss }
    loss, bpb = loss + run.loss / #runs, bpb + run.bpb / #runs
    if run.bytes > bytes then bytes, code = run.bytes, run.code_bytes end
  end
  return {
    track = or_null(identity.track), date = os.date "!%Y-%m-%d", name = or_null(identity.name),
    author = or_null(identity.author), github_id = or_null(identity.github_id), blurb = or_null(identity.blurb),
    val_bpb = bpb, val_loss = loss, context_length = context, seeds = seeds, seed_results = by_seed,
    bytes_total = bytes, bytes_code = code, notes = identity.notes or NOTES,
  }
end

local function save(path, value) system.write_file(path, json.encode(value, { indent = 2 }) .. "\n") end

---Writes submission.json into the folder of a run whose artifact was scored (run:result).
---@param run table of train.start
---@param config {context: integer, seed: integer, submission?: table} submission: author, github_id, name, blurb,
---  track, notes
---@return string path
function submission.write_run(run, config)
  local results = run.folder.record.results or {}
  if not results.submission_bytes then
    error("submission.write_run comes after the score of the artifact: run:result has no submission_bytes yet", 2)
  end
  local one = {
    seed = config.seed, loss = results.val_loss, bpb = results.val_bpb, bytes = results.submission_bytes,
    code_bytes = results.code_bytes,
  }
  local path = run.folder:path "submission.json"
  save(path, content(config.context, { one }, config.submission or {}))
  return path
end

---Writes submissions/<model>_<context>.json into the folder of a study, for each group with finished runs that wrote an
---artifact. Who submits is as the first of them was told.
---@param folder string
---@param found table what results.collect returned
---@return string[] paths
function submission.write_study(folder, found)
  local paths = {}
  for _, group in ipairs(found.groups) do
    local runs = {}
    for _, run in ipairs(group.runs) do
      if run.post_quant and run.submission_bytes then
        runs[#runs + 1] = {
          seed = run.seed, loss = run.post_quant.loss, bpb = run.post_quant.bpb, bytes = run.submission_bytes,
          code_bytes = run.code_bytes,
        }
      end
    end
    if #runs > 0 then
      if #paths == 0 then system.make_directories(folder .. "/submissions") end
      paths[#paths + 1] = ("%s/submissions/%s_%d.json"):format(folder, group.model, group.context)
      save(paths[#paths], content(group.context, runs, group.identity or {}))
    end
  end
  return paths
end

return submission
