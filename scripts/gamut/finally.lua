-- `local _ <close> = finally(fn)` runs `fn` when the block is left, by an error too. Unlike pcall and
-- error it keeps the call chain that the user is shown.

local meta = {__close = function(self) self.fn() end}

---@param fn fun()
return function(fn) return setmetatable({fn = fn}, meta) end
