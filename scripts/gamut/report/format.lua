-- Numbers as a reader wants them.

local format = {}

-- 1234567 -> "1,234,567"
function format.count(value)
  local text = ("%.0f"):format(value)
  repeat
    local replaced
    text, replaced = text:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until replaced == 0
  return text
end

-- 1234567 -> "1.23M"
function format.short(value)
  for _, unit in ipairs{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e4, "k", 1e3}} do
    if math.abs(value) >= unit[1] then return ("%.3g%s"):format(value / (unit[3] or unit[1]), unit[2]) end
  end
  return (value == math.floor(value) or math.abs(value) >= 1000) and ("%.0f"):format(value) or ("%.3g"):format(value)
end

-- A metric's value: four significant digits, more where the integer part needs them.
function format.metric(value)
  if value ~= value then return "nan" end
  if value == math.huge or value == -math.huge then return value > 0 and "inf" or "-inf" end
  local size = math.abs(value)
  if size >= 1e6 then return format.short(value) end
  if size >= 1000 then return format.count(value) end
  if size >= 0.01 or size == 0 then return (("%.4f"):format(value):gsub("0+$", ""):gsub("%.$", "")) end
  return ("%.3e"):format(value)
end

-- 3725 -> "1 h 2 min"
function format.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s < 60 then return s .. " s" end
  if s < 3600 then return ("%d min %d s"):format(s // 60, s % 60) end
  if s < 86400 then return ("%d h %d min"):format(s // 3600, s % 3600 // 60) end
  return ("%d d %d h"):format(s // 86400, s % 86400 // 3600)
end

local LABELS = {
  train_loss = "training loss", val_loss = "validation loss", train_bpb = "training bits per byte",
  val_bpb = "validation bits per byte", lr = "learning rate",
  tokens_per_second = "tokens a second", grad_norm = "gradient norm",
}

-- "val_bpb" -> "validation bits per byte", "some_metric" -> "some metric"
function format.label(name)
  return LABELS[name] or (name:gsub("[_/]", " "))
end

-- The same as a heading.
function format.title(name)
  return (format.label(name):gsub("^%l", string.upper))
end

return format
