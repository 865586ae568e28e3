-- What this process computes on, as run.json tells it and as a figure of time depends on it.
local gamut = require "gamut"

-- The first match of `pattern` in the lines of a file; nil where there is none.
local function first_match(path, pattern)
  local file <close> = io.open(path)
  for line in file and file:lines() or function() end do
    local found = line:match(pattern)
    if found then return found end
  end
end

local function output_of(command)
  local pipe <close> = io.popen(command .. " 2>/dev/null")
  return pipe and pipe:read("a"):gsub("%s+$", "") or ""
end

-- "NVIDIA H100 80GB HBM3", as the driver tells it; of unlike ones, each.
local function graphics()
  local names, seen = {}, {}
  for name in output_of("cat /proc/driver/nvidia/gpus/*/information"):gmatch "Model:%s*([^\n]+)" do
    if not seen[name] then seen[name], names[#names + 1] = true, name end
  end
  return #names > 0 and table.concat(names, ", ") or nil
end

---@param device string "cpu", "cuda" or "cuda:0"
---@return {kind: string, processor: string?, threads: integer, host: string, gpu: string?}
return function(device)
  return {
    kind = device, processor = first_match("/proc/cpuinfo", "^model name%s*:%s*(.+)"), threads = gamut.num_threads(),
    host = output_of "hostname", gpu = device:match "^cuda" and graphics() or nil,
  }
end
