-- `module:describe()`: the tree with shapes and numbers of parameters, as text. Small modules take
-- one line, and equal neighbours in a list are told once.
local fields = require "gamut.nn.fields"
local native = require "gamut.native.nn"
local Module = require("gamut.nn.module").Module

local KEY = fields.KEY

---@class gamut.nn.Row one line
---@field depth integer
---@field text string
---@field count integer? parameters
---@field like string? of a folded row: the item that it stands for
---@field first string? of a folded row: the first item in it

local function with_separators(count)
  local text = tostring(count)
  local replaced
  repeat
    text, replaced = text:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until replaced == 0
  return text
end

-- "weight [3, 4] bfloat16 buffer = embed.weight", and how many parameters it adds. `seen` maps
-- identities to the path that counted them.
local function tensor_text(path, name, tensor, kind, seen)
  local identity = native.identity(tensor)
  local first = seen[identity]
  seen[identity] = first or path
  local notes = tensor.dtype ~= "float32" and " " .. tensor.dtype or ""
  if kind == "buffer" then notes = notes .. " buffer" end
  if kind == "parameter" and not tensor.requires_grad then notes = notes .. " frozen" end
  if first then notes = notes .. " = " .. first end
  local count = kind == "parameter" and not first and tensor:numel() or 0
  return ("%s [%s]%s"):format(name, table.concat(tensor.shape, ", "), notes), count
end

local function is_small(own)
  for _, name in ipairs(own.order) do
    if own.kinds[name] == "module" then return false end
  end
  return #own.order <= 2
end

local function join(path, name) return path == "" and name or path .. "." .. name end

local function heading(name, module)
  local summary = module:summary()
  local text = summary == "" and module:label() or ("%s(%s)"):format(module:label(), summary)
  return name == "" and text or name .. ": " .. text
end

local add_module

-- Adds the tensors of a small module to its own line.
local function add_inline(row, path, module, seen)
  local own, texts, total = module[KEY], {}, 0
  for _, name in ipairs(own.order) do
    local text, count = tensor_text(join(path, name), name, own.values[name], own.kinds[name], seen)
    texts[#texts + 1] = text
    total = total + count
  end
  if #texts > 0 then row.text = row.text .. "  " .. table.concat(texts, ", ") end
  return total
end

-- Rows of a list item without its name, to compare it with its neighbour.
local function signature(rows, first)
  local lines = {}
  for position = first, #rows do
    local text = position == first and rows[position].text:gsub("^[^:]*: ", "") or rows[position].text
    lines[#lines + 1] = text
  end
  return table.concat(lines, "\n")
end

-- Replaces the rows of an item by one that says which item it is like; neighbours share that row.
local function fold(rows, first, depth, child, like, count)
  for position = #rows, first, -1 do rows[position] = nil end
  local above = rows[first - 1]
  if above.like == like and above.depth == depth then
    above.count = above.count + count
    above.text = ("%s..%s: like %s"):format(above.first, child, like)
  else
    local text = ("%s: like %s"):format(child, like)
    rows[first] = { depth = depth, text = text, count = count, like = like, first = child }
  end
end

local function add_children(rows, depth, path, module, seen)
  local own, total = module[KEY], 0
  local told = {} -- in a list, the name of the first item with those rows
  for _, key in ipairs(own.order) do
    local child, value, kind = module:child_name(key), own.values[key], own.kinds[key]
    local first = #rows + 1
    local count
    if kind == "module" then
      count = add_module(rows, depth, join(path, child), child, value, seen)
      local mine = module.length and signature(rows, first)
      if mine and told[mine] then
        fold(rows, first, depth, child, told[mine], count)
      elseif mine then
        told[mine] = child
      end
    else
      local text
      text, count = tensor_text(join(path, child), child, value, kind, seen)
      rows[first] = { depth = depth, text = text, count = count > 0 and count or nil }
    end
    total = total + count
  end
  return total
end

function add_module(rows, depth, path, name, module, seen)
  local row = { depth = depth, text = heading(name, module) }
  rows[#rows + 1] = row
  if is_small(module[KEY]) then
    row.count = add_inline(row, path, module, seen)
  else
    row.count = add_children(rows, depth + 1, path, module, seen)
  end
  return row.count
end

local function render(rows, total)
  local width, digits = 0, #with_separators(total)
  for _, row in ipairs(rows) do
    row.text = ("  "):rep(row.depth) .. row.text
    width = math.max(width, utf8.len(row.text) or #row.text)
  end
  local lines = {}
  for _, row in ipairs(rows) do
    local count = row.count and with_separators(row.count) or ""
    local gap = (" "):rep(width - (utf8.len(row.text) or #row.text) + 2 + digits - #count)
    lines[#lines + 1] = count == "" and row.text or row.text .. gap .. count
  end
  lines[#lines + 1] = ("total: %s parameters"):format(with_separators(total))
  return table.concat(lines, "\n")
end

---The tree of modules and tensors, with shapes and numbers of parameters. A tied parameter is counted
---where it comes first; its other names say which it is.
---@return string
function Module:describe()
  local rows = {}
  local total = add_module(rows, 0, "", "", self, {})
  return render(rows, total)
end
