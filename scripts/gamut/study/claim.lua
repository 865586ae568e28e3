-- A lock file for work that one process does for all that share a folder: who comes later says for whom it waits.
local process = require "gamut.native.process"

---@param path string of the file
---@param work string what its holder does, such as "measures step times in runs/x"
---@return userdata? claim released by :release(), at the end of a <close> variable, or with the process; nil where a
---  signal ended the wait
return function(path, work)
  local claim, holder = process.claim(path)
  if claim then return claim end
  print(("%s %s; waiting for it."):format(holder, work))
  return process.claim(path, {wait = true})
end
