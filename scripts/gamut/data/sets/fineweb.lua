-- FineWeb as Parameter Golf cuts it: the first documents of a frozen list are validation, all others
-- training; each is BOS and its tokens, without EOS. The list is docs_selected.jsonl, which
-- `gamut data fetch fineweb_sp1024 documents=true` brings, or FineWeb's own Parquet files in the order
-- of their names.

local recipe = require "gamut.data.recipe"

return {
  doc = "FineWeb: validation is the first documents of the list, training the others, as Parameter Golf has it",
  kind = "text",
  options = {
    {"source", "string",
      doc = "a file of documents, such as docs_selected.jsonl, or a folder of JSON lines or Parquet"},
    {"validation_documents", "integer", default = 50000, min = 1,
      doc = "documents of the validation, from the first on"},
    {"field", "string", default = "text",
      doc = "the field of JSON lines, or the column of Parquet, that holds the text"},
    {"prefix", "string", default = "fineweb", doc = "shards are called PREFIX_train_000000.bin, PREFIX_val_000000.bin"},
  },
  items = function(settings)
    return recipe.text_units{
      files = recipe.text_files(settings.source), field = settings.field,
      validation_documents = settings.validation_documents,
    }
  end,
}
