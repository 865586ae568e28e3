-- Text for HTML: escaped always, unless it was made here.

local maps = require "gamut.maps"

local html = {}

-- Bytes that are no UTF-8 become U+FFFD: samples of byte-level models hold them.
local function valid_utf8(text)
  local parts, at = {}, 1
  while at <= #text do
    local good, bad = utf8.len(text, at)
    if good then
      parts[#parts + 1] = text:sub(at)
      break
    end
    parts[#parts + 1] = text:sub(at, bad - 1) .. "\u{FFFD}"
    at = bad + 1
  end
  return table.concat(parts)
end

local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

-- Any value as text that HTML shows as it is. Control characters are shown by their symbols.
function html.escape(value)
  local text = valid_utf8(tostring(value))
  text = text:gsub("[%z\1-\8\11-\31]", function(c) return c == "\r" and "" or utf8.char(0x2400 + c:byte()) end)
  return (text:gsub("[&<>\"']", ENTITIES))
end

-- JSON for a <script> element: `</script>` and `<!--` must not appear in it.
function html.script_json(json_text)
  return (json_text:gsub("<", "\\u003c"))
end

local Raw = {}
Raw.__index = Raw
Raw.__tostring = function(self) return self.text end

-- Marks text as HTML already.
function html.raw(text)
  return setmetatable({text = text}, Raw)
end

local function render(child)
  if getmetatable(child) == Raw then return child.text end
  if type(child) ~= "table" then return html.escape(child) end
  local parts = {}
  for i, part in ipairs(child) do parts[i] = render(part) end
  return table.concat(parts)
end

local VOID = {meta = true, input = true, br = true, link = true}

-- html.tag("p", {class = "note"}, "text", other elements or lists of them…). False attributes are left out.
function html.tag(name, attributes, ...)
  local parts = {"<", name}
  for _, key in ipairs(maps.keys(attributes or {}, function(_, value) return value ~= false end)) do
    local value = attributes[key]
    parts[#parts + 1] = value == true and " " .. key or (' %s="%s"'):format(key, html.escape(value))
  end
  parts[#parts + 1] = ">"
  if not VOID[name] then
    parts[#parts + 1] = render{...}
    parts[#parts + 1] = "</" .. name .. ">"
  end
  return html.raw(table.concat(parts))
end

return html
