-- gamut.nn: modules, layers and models. Parts load when they are first used.
local maps = require "gamut.maps"
local nearest = require("gamut.native.tensor").nearest

local parts = {
  module = { "gamut.nn.module", "class" },
  parameter = { "gamut.nn.module", "parameter" },
  buffer = { "gamut.nn.module", "buffer" },
  Module = { "gamut.nn.module", "Module" },
  list = { "gamut.nn.list" },
  init = { "gamut.nn.initializers" },
  Linear = { "gamut.nn.linear" },
  Embedding = { "gamut.nn.embedding", "Embedding" },
  CodebookEmbedding = { "gamut.nn.embedding", "CodebookEmbedding" },
  RMSNorm = { "gamut.nn.rms_norm" },
  Dropout = { "gamut.nn.dropout" },
  SwiGLU = { "gamut.nn.mlp", "SwiGLU" },
  ReLU2 = { "gamut.nn.mlp", "ReLU2" },
  ResidualBlock = { "gamut.nn.residual" },
  TiedHead = { "gamut.nn.heads", "TiedHead" },
  CodebookHead = { "gamut.nn.heads", "CodebookHead" },
  Decoder = { "gamut.nn.decoder" },
  mixer = { "gamut.nn.mixer", "new" },
  register_mixer = { "gamut.nn.mixer", "register" },
  documents = { "gamut.nn.mixer", "documents" },
  state = { "gamut.nn.mixer", "state" },
  fit_width = { "gamut.nn.fit_width" },
  generate = { "gamut.nn.generate", "generate" },
  sample = { "gamut.nn.generate", "sample" },
}

-- The methods of every module; classes inherit them from Module.
require "gamut.nn.tree"
require "gamut.nn.describe"
require "gamut.nn.state_dict"

---@class gamut.nn
local nn = {}

return setmetatable(nn, {
  parts = parts, -- for completion
  __index = function(self, name)
    local part = parts[name]
    if not part then
      local near = nearest(maps.keys(parts), tostring(name))
      local hint = near[1] and ("; did you mean `%s`?"):format(near[1]) or ""
      error(("gamut.nn has no `%s`%s"):format(tostring(name), hint), 2)
    end
    local value = require(part[1])
    if part[2] then value = value[part[2]] end
    rawset(self, name, value)
    return value
  end,
})
