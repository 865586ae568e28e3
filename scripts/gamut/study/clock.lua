-- When a run was at a step, from the steps at which it noted its clock.

---Seconds at each of `steps`, on the line between the readings around it; nil where the clock was never read.
---@param steps integer[] upwards
---@param clock? {step: integer[], value: number[]} a metric of seconds, such as train_seconds
---@return number[]?
return function(steps, clock)
  if not clock or #clock.step == 0 then return nil end
  local seconds, k = {}, 1
  for i, step in ipairs(steps) do
    while k < #clock.step - 1 and clock.step[k + 1] < step do k = k + 1 end
    local last = clock.step[k + 1] and k + 1 or k
    local from, to = clock.step[k], clock.step[last]
    local share = to > from and (step - from) / (to - from) or 0
    seconds[i] = clock.value[k] + share * (clock.value[last] - clock.value[k])
  end
  return seconds
end
