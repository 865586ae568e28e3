-- Which items of a data set train, and which are held out.

local recipe = require "gamut.data.recipe"

local splits = {}

-- What split files call the three.
local NAMES = {
  train = "train", training = "train",
  val = "val", valid = "val", validation = "val", dev = "val",
  test = "test", testing = "test", eval = "test",
}

local function without_ending(name)
  return (name:gsub("%.%w+$", ""))
end

-- {name = split} of a file of `name<TAB>split` or `name,split` lines; a heading is passed over.
local function read_split_file(path)
  local by_name = {}
  for line, number in recipe.lines(path) do
    local name, word = line:match "^(.-)%s*[\t,]%s*(%a+)%s*$"
    local split = word and NAMES[word:lower()]
    if split then
      by_name[name] = split
    elseif line:find "%S" and number > 1 then
      error(("%s:%d: `%s` is not a name, a tab or a comma, and train, val or test"):format(path, number, line), 0)
    end
  end
  if not next(by_name) then error(("the split file %s names no item"):format(path), 0) end
  return by_name
end

local function by_file(items, path)
  local by_name = read_split_file(path)
  local kept = {}
  for _, item in ipairs(items) do
    item.split = by_name[item.name] or by_name[without_ending(item.name)]
    if item.split then kept[#kept + 1] = item end
  end
  if #kept == 0 then
    error(("the split file %s names none of the %d items, such as %s"):format(path, #items, items[1].name), 0)
  end
  if #kept < #items then
    io.stderr:write(("gamut: %d items are not in the split file and are left out\n"):format(#items - #kept))
  end
  return kept
end

-- Groups with the smallest positions are held out. With two groups or more and a share above 0,
-- neither side is left empty.
local function by_hash(items, settings)
  local positions, groups = {}, {}
  for _, item in ipairs(items) do
    local group = item.group or item.name
    if not positions[group] then
      positions[group] = recipe.position(group, settings.seed)
      groups[#groups + 1] = group
    end
  end
  table.sort(groups, function(a, b)
    if positions[a] ~= positions[b] then return positions[a] < positions[b] end
    return a < b
  end)
  local split_of = {}
  for _, group in ipairs(groups) do
    local position = positions[group]
    split_of[group] = position < settings.validation and "val"
      or position < settings.validation + settings.test and "test" or "train"
  end
  if #groups > 1 then
    if settings.validation > 0 then split_of[groups[1]] = "val" end
    if settings.validation + settings.test < 1 then split_of[groups[#groups]] = "train" end
  end
  for _, item in ipairs(items) do item.split = split_of[item.group or item.name] end
  return items
end

---Gives each item without a `split` one: by the split file, or by a hash of its `group` (or `name`) and
---the seed, so that adding items moves no other and a group is never on both sides.
---@param items table[] {name =, group =, split =}
---@param settings {validation: number, test: number, seed: integer, split_file: string}
---@return table[] items, without those that the split file does not name
function splits.assign(items, settings)
  if settings.split_file ~= "" then return by_file(items, settings.split_file) end
  local open = {}
  for _, item in ipairs(items) do
    if not item.split then open[#open + 1] = item end
  end
  if #open > 0 then by_hash(open, settings) end
  return items
end

-- Where each item stood, in the order that a hash of name and seed gives.
local function hashed_order(items, prefix, seed)
  local order = {}
  for i, item in ipairs(items) do
    order[i] = {position = recipe.position(prefix .. item.name, seed), index = i}
  end
  table.sort(order, function(a, b)
    if a.position ~= b.position then return a.position < b.position end
    return a.index < b.index
  end)
  return order
end

---`count` of the items, chosen by a hash of name and seed, in the order that they have.
---@param items table[]
---@param count integer
---@param seed integer
---@return table[]
function splits.choose(items, count, seed)
  if count >= #items then return items end
  local order, chosen = hashed_order(items, "chosen/", seed), {}
  for i = 1, count do chosen[i] = order[i].index end
  table.sort(chosen)
  for i, index in ipairs(chosen) do chosen[i] = items[index] end
  return chosen
end

---The items in the order that a hash of name and seed gives, which more of them would not change.
---@param items table[]
---@param seed integer
---@return table[]
function splits.shuffle(items, seed)
  local shuffled = {}
  for i, entry in ipairs(hashed_order(items, "order/", seed)) do shuffled[i] = items[entry.index] end
  return shuffled
end

return splits
