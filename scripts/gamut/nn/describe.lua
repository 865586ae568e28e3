-- `module:describe()`: the tree with shapes and counts, as text.
local fields = require "gamut.nn.fields"
local native = require "gamut.native.nn"
local Module = require("gamut.nn.module").Module

local KEY = fields.KEY

local function with_separators(count)
  local text = tostring(count)
  repeat
    local replaced
    text, replaced = text:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until replaced == 0
  return text
end

local function shape_text(tensor)
  return "[" .. table.concat(tensor.shape, ", ") .. "]"
end

-- Adds the lines of a tensor; `seen` maps identities to the path that counted it.
local function add_tensor(rows, depth, path, name, tensor, kind, seen)
  local identity = native.identity(tensor)
  local first, count = seen[identity], tensor:numel()
  seen[identity] = first or path
  local notes = tensor.dtype ~= "float32" and " " .. tensor.dtype or ""
  if kind == "buffer" then notes = notes .. " buffer" end
  if first then notes = notes .. " = " .. first end
  local counted = kind == "parameter" and not first
  table.insert(rows, {
    text = ("%s%s %s%s"):format(("  "):rep(depth), name, shape_text(tensor), notes),
    count = counted and count or nil,
  })
  return counted and count or 0
end

local function add_module(rows, depth, path, name, module, seen)
  local row = {}
  local summary = module:summary()
  local head = summary == "" and module:label() or ("%s(%s)"):format(module:label(), summary)
  row.text = ("%s%s%s"):format(("  "):rep(depth), name ~= "" and name .. ": " or "", head)
  table.insert(rows, row)
  local own, total = module[KEY], 0
  for _, key in ipairs(own.order) do
    local child = module:child_name(key)
    local child_path = path == "" and child or path .. "." .. child
    local value, kind = own.values[key], own.kinds[key]
    if kind == "module" then
      total = total + add_module(rows, depth + 1, child_path, child, value, seen)
    else
      total = total + add_tensor(rows, depth + 1, child_path, child, value, kind, seen)
    end
  end
  row.count = total
  return total
end

local function render(rows, total)
  local width, digits = 0, #with_separators(total)
  for _, row in ipairs(rows) do width = math.max(width, utf8.len(row.text)) end
  local lines = {}
  for _, row in ipairs(rows) do
    local count = row.count and with_separators(row.count) or ""
    local padding = (" "):rep(width - utf8.len(row.text) + 2 + digits - #count)
    lines[#lines + 1] = count == "" and row.text or row.text .. padding .. count
  end
  lines[#lines + 1] = ("total: %s parameters"):format(with_separators(total))
  return table.concat(lines, "\n")
end

---The tree of modules and tensors, with shapes and numbers of parameters. Tied parameters are counted
---once; a second name shows the path that it shares.
---@return string
function Module:describe()
  local rows = {}
  local total = add_module(rows, 0, "", "", self, {})
  return render(rows, total)
end
