-- `module:load`: copies saved tensors into a module, and says everything that does not fit at once.
local gamut = require "gamut"
local maps = require "gamut.maps"
local Module = require("gamut.nn.module").Module

local LIMIT = 10 -- how many names of one kind of problem a message lists

local function read(source)
  if type(source) == "string" then source = gamut.safetensors.load(source) end
  if type(source) ~= "table" then
    error(("module:load needs the path of a safetensors file or a state dict, not a %s"):format(type(source)), 3)
  end
  return source
end

-- Name to tensor, from a list of {name, tensor} or from a map.
local function by_name(source)
  local tensors = {}
  if source[1] == nil then
    for name, tensor in pairs(source) do tensors[name] = tensor end
  else
    for _, entry in ipairs(source) do tensors[entry.name or entry[1]] = entry.tensor or entry[2] end
  end
  return tensors
end

local function new_name(rename, name)
  if rename == nil then return name end
  if type(rename) == "function" then return rename(name) end
  local found = rename[name]
  if found == nil then return name end
  return found
end

local function renamed(tensors, rename)
  local result, origin = {}, {}
  for name, tensor in pairs(tensors) do
    local target = new_name(rename, name)
    if target then
      if result[target] then
        error(("rename maps both `%s` and `%s` to `%s`"):format(origin[target], name, target), 3)
      end
      result[target], origin[target] = tensor, name
    end
  end
  return result
end

-- The saved tensor of an entry, by its name or one of its aliases, taken out of `saved`.
local function take(saved, entry)
  local tensor = saved[entry.name]
  saved[entry.name] = nil
  for _, alias in ipairs(entry.aliases or {}) do
    tensor = tensor or saved[alias]
    saved[alias] = nil
  end
  return tensor
end

local function same_shape(a, b)
  local left, right = a.shape, b.shape
  if #left ~= #right then return false end
  for i = 1, #left do
    if left[i] ~= right[i] then return false end
  end
  return true
end

local function shape_text(tensor) return "[" .. table.concat(tensor.shape, ", ") .. "]" end

-- The tensors whose names begin with `prefix`, without it, in the order of their names.
local function below(saved, prefix)
  local given = {}
  for name, tensor in pairs(saved) do
    if name:sub(1, #prefix) == prefix then given[#given + 1] = { name:sub(#prefix + 1), tensor } end
  end
  table.sort(given, function(a, b) return a[1] < b[1] end)
  return given
end

-- Puts a mixer's own tensors into `saved` wherever it takes those there for another project's. Returns
-- what mixers refused: a sentence by the prefix of their names.
local function import_foreign(root, saved)
  local refused = {}
  root:apply(function(module, path)
    if not module.import_weights then return end
    local prefix = path == "" and "" or path .. "."
    local given = below(saved, prefix)
    if #given == 0 then return end
    local ok, own = pcall(module.import_weights, module, given)
    if ok and not own then return end
    for _, entry in ipairs(given) do saved[prefix .. entry[1]] = nil end
    if not ok then
      local reason = tostring(own):gsub("^%S+:%d+: ", "") -- where load was called, which its error says
      refused[prefix] = ("%s (%s): %s"):format(path == "" and "the module" or path, module:label(), reason)
      return
    end
    for _, entry in ipairs(own) do saved[prefix .. entry[1]] = entry[2] end
  end)
  return refused
end

local function has_prefix(prefixes, name)
  for prefix in pairs(prefixes) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return false
end

local function add_problem(message, title, names)
  if #names == 0 then return end
  local shown = table.concat(names, ", ", 1, math.min(#names, LIMIT))
  if #names > LIMIT then shown = ("%s and %d more"):format(shown, #names - LIMIT) end
  message[#message + 1] = ("%s (%d): %s"):format(title, #names, shown)
end

---Copies tensors into the module's parameters and saved buffers, converting dtype and device.
---
---`strict` (default true) refuses missing and unexpected names; a wrong shape is always refused, and
---nothing is copied then. `rename` maps saved names to this module's: a function that returns the new
---name (nil to leave the tensor out), or a table (false leaves out, absent keeps the name).
---@param source string|table path of a safetensors file, list of {name, tensor}, or map
---@param options? {strict?: boolean, rename?: table|fun(name: string): string?}
---@return {missing: string[], unexpected: string[]}
function Module:load(source, options)
  options = options or {}
  local saved = renamed(by_name(read(source)), options.rename)
  local refused = import_foreign(self, saved)
  local pairs_to_copy, missing, misshapen = {}, {}, {}
  for _, entry in ipairs(self:state_dict()) do
    local tensor = take(saved, entry)
    if not tensor then
      if not has_prefix(refused, entry.name) then missing[#missing + 1] = entry.name end
    elseif not same_shape(tensor, entry.tensor) then
      misshapen[#misshapen + 1] = ("%s is %s here and %s in what is loaded")
        :format(entry.name, shape_text(entry.tensor), shape_text(tensor))
    else
      pairs_to_copy[#pairs_to_copy + 1] = { entry.tensor, tensor }
    end
  end
  local unexpected = maps.keys(saved)
  local strict = options.strict ~= false
  local problems = {}
  if strict then add_problem(problems, "missing", missing) end
  if strict then add_problem(problems, "unexpected", unexpected) end
  add_problem(problems, "of another shape", misshapen)
  local sentences = {}
  for _, sentence in pairs(refused) do sentences[#sentences + 1] = sentence end
  table.sort(sentences)
  table.move(sentences, 1, #sentences, #problems + 1, problems)
  if #problems > 0 then
    error(("cannot load into %s%s:\n  %s"):format(self.class_name,
      type(source) == "string" and " from " .. source or "", table.concat(problems, "\n  ")), 2)
  end
  gamut.no_grad(function()
    for _, pair in ipairs(pairs_to_copy) do pair[1]:copy_(pair[2]) end
  end)
  return { missing = missing, unexpected = unexpected }
end
