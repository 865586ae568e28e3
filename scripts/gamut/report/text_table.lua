-- Rows of texts as lines whose columns stand under one another.

-- Columns that a terminal shows: characters, not bytes.
local function width_of(text)
  return utf8.len(text) or #text
end

---@param rows string[][] a row may be shorter than others
---@param options? {right?: table<integer, boolean>} columns that are aligned to the right, as numbers are
---@return string[] lines
return function(rows, options)
  local right = options and options.right or {}
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for i, text in ipairs(row) do widths[i] = math.max(widths[i] or 0, width_of(text)) end
  end
  for n, row in ipairs(rows) do
    local parts = {}
    for i, text in ipairs(row) do
      local room = (" "):rep(widths[i] - width_of(text))
      parts[i] = right[i] and room .. text or text .. room
    end
    lines[n] = table.concat(parts, "  "):gsub(" +$", "")
  end
  return lines
end
