-- Documents from a file or a folder of text, JSON lines and Parquet.

local recipe = require "gamut.data.recipe"

return {
  doc = "documents from text files, JSON lines and Parquet, into token shards",
  kind = "text",
  options = {
    {"source", "string", doc = "a file, or a folder with files below it: .txt, .md, .rst, .pod, .jsonl, .ndjson, "
      .. "each also packed as .gz, and .parquet"},
    {"field", "string", default = "text", doc = "the field of JSON lines, or the column of Parquet, that holds the text"},
  },
  items = function(settings)
    return recipe.text_units{files = recipe.text_files(settings.source), field = settings.field}
  end,
}
