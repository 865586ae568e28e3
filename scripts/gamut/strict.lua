-- A table whose missing names are errors with the nearest name, not nil.
local maps = require "gamut.maps"
local nearest = require("gamut.native.tensor").nearest

---@generic T : table
---@param who string what users call it
---@param members T
---@return T members
local function strict(who, members)
  return setmetatable(members, {
    __index = function(_, wanted)
      local near = nearest(maps.keys(members), tostring(wanted))
      local hint = near[1] and ("; did you mean `%s`?"):format(near[1]) or ""
      error(("%s has no `%s`%s"):format(who, tostring(wanted), hint), 2)
    end,
  })
end

return strict
