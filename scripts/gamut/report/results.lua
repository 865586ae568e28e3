-- The figures that sum a run up: {{label =, value =, text =, lower = true where less is better}, …}.

local format = require "gamut.report.format"

local function last(series)
  return series and series.value[#series.value]
end

local function least(series)
  local best
  for _, value in ipairs(series and series.value or {}) do
    if value == value and (not best or value < best) then best = value end
  end
  return best
end

local function median(series)
  local values = {}
  for _, value in ipairs(series and series.value or {}) do
    if value == value then values[#values + 1] = value end
  end
  table.sort(values)
  return values[(#values + 1) // 2]
end

return function(run)
  local series, record, results = run.series, run.record, {}
  local function add(label, value, write, lower)
    if type(value) == "number" then
      results[#results + 1] = {label = label, value = value, text = write(value), lower = lower}
    end
  end
  -- The best of many validations is told where it is not the last.
  local function validation(label, one)
    add(label, last(one), format.metric, true)
    if least(one) ~= last(one) then add("lowest " .. label, least(one), format.metric, true) end
  end
  validation("validation bits per byte", series.val_bpb)
  validation("validation loss", series.val_loss)
  add("training loss", last(series.train_loss), format.metric, true)
  local steps = series.train_loss and series.train_loss.step
  add("steps taken", record.steps or steps and steps[#steps], format.count)
  add("tokens", record.tokens or last(series.tokens), format.short)
  add("tokens a second", median(series.tokens_per_second), format.short)
  add("parameters", record.parameters, format.short)
  add("training time", record.training_seconds or record.seconds or last(series.time), format.duration)
  return results
end
