-- Causal linear attention with the feature map elu + 1 (Katharopoulos et al. 2020), in pure Lua: an
-- example of a mixer written under the same contract as those in C++, here as the parts of a recurrence
-- (gamut.nn.recurrent), and a baseline.
--
--     require "gamut.nn.mixers.linear_attention"
--     local mixer = nn.mixer("linear_attention", {d_model = 256, n_heads = 4})
--
-- Per head, with phi(z) = elu(z) + 1:
--     o_t = sum over s <= t of (phi(q_t) . phi(k_s)) v_s / (eps + sum over s <= t of phi(q_t) . phi(k_s))
local gamut = require "gamut"
local nn = require "gamut.nn"

---@class gamut.nn.LinearAttention : gamut.nn.Mixer
local LinearAttention = nn.module "linear_attention"

local EPS = 1e-6

---Draws q_proj, k_proj, v_proj, o_proj.
function LinearAttention:init(options)
  self.n_heads, self.chunk_size = options.n_heads, options.chunk_size
  local d = options.d_model
  if d % self.n_heads ~= 0 then
    error(("d_model = %d does not divide into n_heads = %d"):format(d, self.n_heads), 0)
  end
  self.head_dim = d // self.n_heads
  for _, name in ipairs { "q_proj", "k_proj", "v_proj", "o_proj" } do
    self[name] = nn.Linear(d, d, { bias = false })
  end
end

---The sums over what was read: of phi(k) v^T and, as the last column, of phi(k).
function LinearAttention:new_state(batch)
  local shape = { batch, self.n_heads, self.head_dim, self.head_dim + 1 }
  return nn.state { { "memory", self.q_proj.weight:new_zeros(shape) } }
end

function LinearAttention.memory_names() return { "memory" } end

---q, k [batch, time, heads, head_dim], and v with a column of ones appended, for the normaliser.
function LinearAttention:project(x)
  local function heads(projection) return projection(x):unflatten(-1, { self.n_heads, -1 }) end
  return {
    q = gamut.elu(heads(self.q_proj)) + 1,
    k = gamut.elu(heads(self.k_proj)) + 1,
    v = gamut.constant_pad_nd(heads(self.v_proj), { 0, 1 }, 1),
  }
end

-- One document: q, k, v [batch, heads, time, ...] and the memory before it. Returns the sums
-- [.., head_dim + 1] for each step, and the memory after it.
local function scan(q, k, v, memory, chunk_size)
  local time, pieces = q.shape[3], {}
  for first = 0, time - 1, chunk_size do
    local length = math.min(chunk_size, time - first)
    local qc, kc, vc = q:narrow(2, first, length), k:narrow(2, first, length), v:narrow(2, first, length)
    local within = gamut.matmul(qc, kc:transpose(2, 3)):tril()
    pieces[#pieces + 1] = gamut.matmul(within, vc) + gamut.matmul(qc, memory)
    memory = memory + gamut.matmul(kc:transpose(2, 3), vc)
  end
  return gamut.cat(pieces, 2), memory
end

local function scan_documents(documents, q, k, v, memory, chunk_size)
  local rows, after = {}, {}
  for position, document in ipairs(documents) do
    local row, first, length = document.row, document.first, document.length
    local function part(t) return t:narrow(0, row, 1):narrow(2, first, length) end
    local sums
    sums, after[position] = scan(part(q), part(k), part(v), memory:narrow(0, position - 1, 1), chunk_size)
    rows[row + 1] = rows[row + 1] and gamut.cat({ rows[row + 1], sums }, 2) or sums
  end
  return gamut.cat(rows, 0), gamut.cat(after, 0)
end

---Reads are [rows, time, heads, head_dim + 1]: the last channel is the normaliser.
function LinearAttention:scan(features, memory, cu_seqlens)
  local function by_head(t) return t:transpose(1, 2) end
  local q, k, v = by_head(features.q), by_head(features.k), by_head(features.v)
  local documents = nn.documents({ cu_seqlens = cu_seqlens }, features.q)
  local sums, after
  if documents then
    sums, after = scan_documents(documents, q, k, v, memory.memory, self.chunk_size)
  else
    sums, after = scan(q, k, v, memory.memory, self.chunk_size)
  end
  return by_head(sums), { memory = after }
end

function LinearAttention.read(_, features, memories)
  return gamut.einsum("bthk,bnhkv->btnhv", { features.q, memories.memory })
end

function LinearAttention:normalize(read)
  return read:narrow(-1, 0, self.head_dim) / (read:narrow(-1, self.head_dim, 1) + EPS)
end

function LinearAttention.queries(_, features) return features.q:flatten(2) end
function LinearAttention.keys(_, features) return features.k:flatten(2) end

function LinearAttention:finish(read) return self.o_proj(read:flatten(2)) end

nn.register_mixer("linear_attention", LinearAttention, {
  { "d_model", "integer", min = 1, doc = "width of the input and the output" },
  { "n_heads", "integer", min = 1, default = 4, doc = "heads, each d_model / n_heads wide" },
  { "chunk_size", "integer", min = 1, default = 64, doc = "steps that are computed at once" },
})

return LinearAttention
