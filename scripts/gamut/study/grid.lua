-- All points of a grid, the last axis running fastest.

---@param axes {[1]: string, [2]: any[]}[] names and values
---@param cell fun(at: table<string, any>): table? the cell of a point; nil leaves the point out
---@return table[] cells
return function(axes, cell)
  local points = {{}}
  for _, axis in ipairs(axes) do
    local name, values = axis[1], axis[2]
    local longer = {}
    for _, point in ipairs(points) do
      for _, value in ipairs(values) do
        local copy = {[name] = value}
        for other, given in pairs(point) do copy[other] = given end
        longer[#longer + 1] = copy
      end
    end
    points = longer
  end
  local cells = {}
  for _, point in ipairs(points) do cells[#cells + 1] = cell(point) end
  return cells
end
