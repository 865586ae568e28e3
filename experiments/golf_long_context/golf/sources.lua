-- The code of a run, as the challenge counts it: the script and, of the experiment's own files, all that it requires.
-- The study had one script; libraries that are imported are not charged there, and the platform's are not here.
local system = require "gamut.native.system"

local sources = {}

-- "golf.log" -> the file that `require` would read.
local function file_of(name)
  local path, tried = package.searchpath(name, package.path)
  if not path then error(("the experiment's file %s is not found:%s"):format(name, tried), 0) end
  return path
end

-- The script, then what it requires of `golf.`, each file once, in the order of first mention.
---@param script string path
---@return {path: string, text: string}[] files
---@return integer bytes of all together
function sources.read(script)
  local files, known, bytes = {}, {}, 0
  local function add(path)
    if known[path] then return end
    known[path] = true
    local text = system.read_file(path)
    files[#files + 1] = {path = path, text = text}
    bytes = bytes + #text
    for name in text:gmatch "require%s*%(?%s*[\"'](golf%.[%w_.]+)[\"']" do add(file_of(name)) end
  end
  add(script)
  return files, bytes
end

return sources
