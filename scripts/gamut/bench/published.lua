-- Times of others' kernels at shapes of the table, with the chip that they were measured on. Milliseconds.
local published = {}

-- Gated delta rule in bfloat16: B, T, H, HV, head width; forward or backward; FLA 0.5.1, FlashInfer 0.6.13, FlashQLA.
-- Source: FlashQLA's benchmark_results_H200 (QwenLM/FlashQLA c18a4860).
local H200 = {
  { 1, 2048, 16, 16, 128, "forward", { FLA = 0.102, FlashInfer = 0.109, FlashQLA = 0.086 } },
  { 1, 8192, 16, 16, 128, "forward", { FLA = 0.334, FlashInfer = 0.418, FlashQLA = 0.178 } },
  { 1, 32768, 16, 16, 128, "forward", { FLA = 1.275, FlashInfer = 1.650, FlashQLA = 0.498 } },
  { 4, 2048, 16, 16, 128, "forward", { FLA = 0.264, FlashInfer = 0.105, FlashQLA = 0.111 } },
  { 1, 8192, 32, 32, 128, "forward", { FLA = 0.500, FlashInfer = 0.395, FlashQLA = 0.283 } },
  { 4, 8192, 32, 32, 128, "forward", { FLA = 1.952, FlashInfer = 0.442, FlashQLA = 0.629 } },
  { 1, 8192, 16, 64, 128, "forward", { FLA = 0.814, FlashInfer = 0.392, FlashQLA = 0.397 } },
  { 1, 8192, 8, 16, 128, "backward", { FLA = 0.957, FlashQLA = 0.452 } },
  { 1, 32768, 8, 16, 128, "backward", { FLA = 3.701, FlashQLA = 1.377 } },
  { 1, 8192, 16, 32, 128, "backward", { FLA = 1.444, FlashQLA = 0.789 } },
  { 1, 32768, 16, 32, 128, "backward", { FLA = 5.697, FlashQLA = 2.515 } },
  { 1, 32768, 2, 4, 128, "backward", { FLA = 2.311, FlashQLA = 0.548 } },
}

-- Source: pull requests 3788 and 3866 of flashinfer-ai/flashinfer.
local H100 = {
  { 1, 2048, 2, 8, 128, "forward", { FLA = 0.086, FlashInfer = 0.061 } },
  { 1, 8192, 2, 8, 128, "forward", { FLA = 0.259, FlashInfer = 0.114 } },
  { 1, 32768, 2, 8, 128, "forward", { FLA = 0.997, FlashInfer = 0.239 } },
  { 1, 65536, 2, 8, 128, "forward", { FLA = 1.966, FlashInfer = 0.399 } },
}

local function is_at(row, s)
  return row[1] == s.B and row[2] == s.T and row[3] == s.H and row[4] == (s.HV or s.H) and row[5] == s.K and s.K == s.V
end

---@class gamut.bench.Published
---@field chip string
---@field pass "forward"|"backward"
---@field ms table<string, number> by library

---What was published for an operator at a shape.
---@param name string of the operator
---@param shape table
---@return gamut.bench.Published[]
function published.of(name, shape)
  local found = {}
  if name ~= "gated_delta_rule" then return found end
  for chip, rows in pairs { H200 = H200, H100 = H100 } do
    for _, row in ipairs(rows) do
      if is_at(row, shape) then found[#found + 1] = { chip = chip, pass = row[6], ms = row[7] } end
    end
  end
  return found
end

-- "forward FlashQLA 0.178, FLA 0.334 on H200", the fastest first.
---@param entries gamut.bench.Published[]
---@return string "" where nothing was published
function published.text(entries)
  local texts = {}
  for _, entry in ipairs(entries) do
    local names = {}
    for name in pairs(entry.ms) do names[#names + 1] = name end
    table.sort(names, function(a, b) return entry.ms[a] < entry.ms[b] end)
    for i, name in ipairs(names) do names[i] = ("%s %.3f"):format(name, entry.ms[name]) end
    texts[#texts + 1] = ("%s %s on %s"):format(entry.pass, table.concat(names, ", "), entry.chip)
  end
  return table.concat(texts, "; ")
end

return published
