-- A tokenizer's model from text, as `gamut tokenizer train` makes it.

local check = require "gamut.options"
local native = require "gamut.native.prepare"

---Trains a tokenizer that learns from text (`gamut tokenizer train NAME` lists its options) on files of
---documents, and on those below folders: what `data.prepare` takes for text. Shows how far it is.
---@param name string the plugin, such as "sentencepiece"
---@param options {input: string|string[], output: string, field?: string, options?: table, replace?: boolean}
---  output: the model, there when it is complete; replace: one that is there already
return function(name, options)
  check("data.train_tokenizer", options, {
    input = "any", output = "string", field = "string?", options = "table?", replace = "boolean?",
  })
  local inputs = type(options.input) == "table" and options.input or {options.input}
  native.train_tokenizer{
    tokenizer = name, input = inputs, output = options.output, field = options.field,
    options = options.options, replace = options.replace,
  }
end
