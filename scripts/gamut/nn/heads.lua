-- From hidden states to logits: a linear head, a head tied to an embedding, one head a codebook.
local gamut = require "gamut"
local Linear = require "gamut.nn.linear"
local List = require "gamut.nn.list"
local module = require "gamut.nn.module"

---Logits against the rows of an embedding. Its `weight` is the embedding's, counted once.
---@class gamut.nn.TiedHead : gamut.nn.Module
---@overload fun(embedding: gamut.nn.Embedding): gamut.nn.TiedHead
local TiedHead = module.class "TiedHead"

---@param embedding gamut.nn.Embedding
function TiedHead:init(embedding) self.weight = embedding.weight end

---@param x gamut.Tensor [..., d]
---@return gamut.Tensor [..., ids]
function TiedHead:forward(x) return gamut.linear(x, self.weight) end

---@return gamut.Tensor[]
function TiedHead:matrices() return { self.weight } end

---One bias-free linear head a codebook.
---@class gamut.nn.CodebookHead : gamut.nn.Module
---@field heads gamut.nn.List
---@overload fun(codebooks: integer, d: integer, ids: integer): gamut.nn.CodebookHead
local CodebookHead = module.class "CodebookHead"

---@param codebooks integer
---@param d integer
---@param ids integer in each codebook
function CodebookHead:init(codebooks, d, ids)
  self.ids = ids
  self.heads = List()
  for _ = 1, codebooks do self.heads:append(Linear(d, ids, { bias = false })) end
end

---The matrices whose products are the logits; a loss takes them to compute head and loss at once.
---@return gamut.Tensor[] [ids, d], one a codebook
function CodebookHead:matrices()
  local weights = {}
  for position, head in ipairs(self.heads) do weights[position] = head.weight end
  return weights
end

---@param x gamut.Tensor [batch, time, d]
---@return gamut.Tensor [batch, time, codebooks, ids]
function CodebookHead:forward(x)
  -- One product with the stacked weights: copying weights is cheaper than stacking logits.
  local weights = self:matrices()
  return gamut.linear(x, gamut.cat(weights, 0)):unflatten(-1, { #weights, self.ids })
end

return { TiedHead = TiedHead, CodebookHead = CodebookHead }
