-- gamut.torch_file: files of Python's torch.save, written byte for byte as it writes them and read without running
-- anything.
--
--     torch_file.save("weights.pt", { step = 3, weight = x })
--     local value = torch_file.load "weights.pt"       -- value.weight is a view of the file
--     local bytes = torch_file.encode(value)           -- what torch.save writes to a buffer
--     torch_file.decode(bytes)
--
-- A table with keys 1..n is a list, any other a dictionary with its keys by name. Python has more kinds, and
-- dictionaries have an order; the functions below make those, and what `load` returns is marked likewise, so that it can
-- be saved again as it was. None is gamut.json.null.
local native = require "gamut.native.torch_file"

---@class gamut.torch_file
local torch_file = {}

---Writes a file as a whole or not at all.
---
---`location` is the device that the file says its tensors were on, where torch.load puts them without a map_location;
---default: the one they are on.
---@param path string
---@param value any
---@param options? {location?: string}
---@return integer bytes of the file
function torch_file.save(path, value, options) return native.save(path, value, options) end

---What torch.save writes to a buffer, where the folder in the archive has no file's name.
---@param value any
---@param options? {location?: string}
---@return string bytes
function torch_file.encode(value, options) return native.encode(value, options) end

---The value that a file holds. Tensors are views of the file, read when they are used.
---@param path string
---@return any
function torch_file.load(path) return native.load(path) end

---@param bytes string of such a file
---@param name? string what messages call them
---@return any
function torch_file.decode(bytes, name) return native.decode(bytes, name) end

local function marked(value, kind, more)
  local meta = more or {}
  meta.kind = kind
  return setmetatable(value, meta)
end

local function dictionary(kind, entries, attributes)
  local value, keys = {}, {}
  for i, entry in ipairs(entries) do
    local key = entry[1]
    if key == nil or entry[2] == nil then
      error(("torch_file.%s: entry %d must be {key, value}"):format(kind, i), 3)
    end
    if value[key] ~= nil then error(("torch_file.%s has the key `%s` twice"):format(kind, key), 3) end
    keys[i], value[key] = key, entry[2]
  end
  return marked(value, kind, { keys = keys, attributes = attributes })
end

---A dictionary in this order: its value under each key.
---@param entries {[1]: string|integer|boolean, [2]: any}[]
---@return table
function torch_file.dict(entries) return dictionary("dict", entries) end

---A collections.OrderedDict, such as a state dict is.
---@param entries {[1]: string|integer|boolean, [2]: any}[]
---@param attributes? table a dictionary: those of the object, such as a state dict's `_metadata`
---@return table
function torch_file.ordered_dict(entries, attributes) return dictionary("ordered_dict", entries, attributes) end

---Marks a list as a Python list, also when it is empty.
function torch_file.list(items) return marked(items or {}, "list") end

---Marks a list as a tuple.
function torch_file.tuple(items) return marked(items or {}, "tuple") end

---A text that is an object of its own. Python's pickler writes equal literals once and refers back to them, but a text
---that was put together (str(x), f"{x}") each time that it was; only the bytes of the file tell the two apart.
---@param text string
function torch_file.text(text) return marked({ text }, "text") end

return torch_file
