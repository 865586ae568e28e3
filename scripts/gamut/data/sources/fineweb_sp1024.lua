-- Token shards of FineWeb as Parameter Golf publishes them: 100,000,000 tokens a training shard, the
-- whole validation split, and the SentencePiece model of 1024 pieces that made them.
local json = require("gamut").json

local SET = "fineweb10B_sp1024"

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- The entry of a list of the manifest that has that name.
local function entry_of(manifest, list, name)
  for _, entry in ipairs(manifest[list] or {}) do
    if entry.name == name then return entry end
  end
  error(("the manifest of the source has no %s in `%s`"):format(name, list), 0)
end

local function check_path(path)
  if type(path) ~= "string" or path:find "^/" or path:find "%.%." then
    error(("the manifest of the source names the file `%s`, which is none of its own"):format(tostring(path)), 0)
  end
  return path
end

return {
  doc = "FineWeb as tokens of sp1024 (Parameter Golf): validation, the tokenizer, and `shards` of training "
    .. "(200 MB each)",
  home = "https://huggingface.co/datasets/willdepueoai/parameter-golf/resolve/main/datasets",
  options = {
    shards = {
      default = 5, doc = "training shards; 5 hold all that golf_long_context reads, 80 are the usual 8e9 tokens",
    },
    documents = {default = false, doc = "true: the documents as JSON lines too, for other tokenizers (tens of GB)"},
  },
  list = function(options, get)
    local manifest = json.decode(read(get{{path = "manifest.json", name = "manifest.json"}} .. "/manifest.json"))
    local set = entry_of(manifest, "datasets", SET)
    local tokenizer = entry_of(manifest, "tokenizers", set.tokenizer_name)
    local stats = set.stats or {}
    if math.type(stats.files_val) ~= "integer" or math.type(stats.files_train) ~= "integer" then
      error(("the manifest of the source does not say how many files %s has"):format(SET), 0)
    end
    if options.shards > stats.files_train then
      error(("shards=%d: the source has %d training shards"):format(options.shards, stats.files_train), 0)
    end
    local files = {{path = "manifest.json", name = "manifest.json", about = 0}}
    local function add(path, about) files[#files + 1] = {path = path, name = path, about = about} end
    for _, key in ipairs{"model_path", "vocab_path", "path"} do
      if tokenizer[key] and tokenizer[key] ~= json.null then add(check_path(tokenizer[key]), 0) end
    end
    for i = 0, stats.files_val - 1 do add(("datasets/%s/fineweb_val_%06d.bin"):format(SET, i), 124000000) end
    for i = 0, options.shards - 1 do add(("datasets/%s/fineweb_train_%06d.bin"):format(SET, i), 200001024) end
    if options.documents then add("docs_selected.jsonl", 40000000000) end
    return files
  end,
  next = "Shards: OUT/datasets/" .. SET .. "; tokenizer: OUT/tokenizers/fineweb_1024_bpe.model",
}
