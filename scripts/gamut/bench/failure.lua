-- What made a case fail, in a line: its place in the library says nothing to the reader of a table.
local failure = {}

---@param message any of an error
---@return string
function failure.text(message)
  return (tostring(message):match "^[^\n]*":gsub("^[^:]-%.lua:%d+: ", ""))
end

return failure
