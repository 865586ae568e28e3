-- Embeddings of ids: one table, or the sum of one table a codebook.
local gamut = require "gamut"
local List = require "gamut.nn.list"
local init = require "gamut.nn.initializers"
local module = require "gamut.nn.module"

---@class gamut.nn.Embedding : gamut.nn.Module
---@field weight gamut.Tensor [ids, d]
---@overload fun(ids: integer, d: integer): gamut.nn.Embedding
local Embedding = module.class "Embedding"

---Draws N(0, 1), as PyTorch's nn.Embedding does.
---@param ids integer
---@param d integer
function Embedding:init(ids, d)
  self.weight = module.parameter(gamut.empty { ids, d })
  init.normal(self.weight)
end

---@param ids gamut.Tensor int64 [...]
---@return gamut.Tensor [..., d]
function Embedding:forward(ids) return gamut.embedding(self.weight, ids) end

function Embedding:summary()
  local shape = self.weight.shape
  return ("%d ids, %d"):format(shape[1], shape[2])
end

---The sum of one embedding a codebook.
---@class gamut.nn.CodebookEmbedding : gamut.nn.Module
---@field embeddings gamut.nn.List
---@overload fun(codebooks: integer, ids: integer, d: integer): gamut.nn.CodebookEmbedding
local CodebookEmbedding = module.class "CodebookEmbedding"

---@param codebooks integer
---@param ids integer in each codebook
---@param d integer
function CodebookEmbedding:init(codebooks, ids, d)
  self.embeddings = List()
  for _ = 1, codebooks do self.embeddings:append(Embedding(ids, d)) end
end

---@param codes gamut.Tensor int64 [batch, codebooks, time]
---@return gamut.Tensor [batch, time, d]
function CodebookEmbedding:forward(codes)
  if codes.ndim ~= 3 or codes.shape[2] ~= #self.embeddings then
    error(("codes must be [batch, %d codebooks, time], not [%s]")
      :format(#self.embeddings, table.concat(codes.shape, ", ")), 0)
  end
  local sum
  for position, embedding in ipairs(self.embeddings) do
    local part = embedding(codes:select(1, position - 1))
    sum = sum and sum + part or part
  end
  return sum
end

return { Embedding = Embedding, CodebookEmbedding = CodebookEmbedding }
