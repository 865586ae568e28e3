-- Documents from a file or a folder of text, JSON lines and Parquet.

local recipe = require "gamut.data.recipe"
local splits = require "gamut.data.splits"

return {
  doc = "documents from text files, JSON lines and Parquet, into token shards",
  kind = "text",
  options = {
    {"source", "string", doc = "a file, or a folder with files below it: .txt, .md, .rst, .pod, .jsonl, .ndjson, "
      .. "each also packed as .gz, and .parquet"},
    {"field", "string", default = "text",
      doc = "the field of JSON lines, or the column of Parquet, that holds the text"},
    {"exclude", "string", default = "", doc = "files of the folder whose names begin so are left out, such as drafts/; "
      .. "several with commas between"},
    {"order", "string", default = "name", choices = {"name", "shuffled"},
      doc = "of files (of large ones: of their parts) in the shards: by name, or by a hash of name and seed"},
  },
  items = function(settings)
    local files = recipe.text_files(settings.source, settings.exclude)
    local units = recipe.text_units{files = files, field = settings.field}
    return settings.order == "shuffled" and splits.shuffle(units, settings.seed) or units
  end,
}
