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

-- "NVIDIA H100 80GB HBM3", as CUDA tells it, or the driver where that cannot be asked.
local function graphics(device)
  local ok, name = pcall(gamut.cuda.device_name, device)
  return ok and name or output_of("cat /proc/driver/nvidia/gpus/*/information"):match "Model:%s*([^\n]+)"
end

---@param device string "cpu", "cuda" or "cuda:0"
---@return {kind: string, processor: string?, threads: integer, host: string, gpu: string?, driver: string?}
return function(device)
  local on_cuda = device:match "^cuda" ~= nil
  return {
    kind = device, processor = first_match("/proc/cpuinfo", "^model name%s*:%s*(.+)"), threads = gamut.num_threads(),
    host = output_of "hostname", gpu = on_cuda and graphics(device) or nil,
    driver = on_cuda and first_match("/proc/driver/nvidia/version", "Kernel Module%D*([%d.]+)") or nil,
  }
end
