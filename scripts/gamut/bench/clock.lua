-- The clock of a device: marks between calls, and milliseconds from one to another.
--
-- On the CPU a mark is a time. On CUDA it is an event in the queue of the device, so that calls follow one another
-- without waiting; only reading a time waits.
local gamut = require "gamut"
local system = require "gamut.native.system"

---@class gamut.bench.Clock
---@field device string
---@field is_cuda boolean
---@field kind string how it measures, in words
---@field mark fun(): any a point in the device's work
---@field ms fun(from: any, to: any): number waits until `to` was reached
---@field wait fun() until the device has done all that it was given

local clock = {}

local function milliseconds(from, to) return 1e3 * (to - from) end

local function of_cpu(device)
  return {
    device = device, is_cuda = false, kind = "steady clock", mark = system.monotonic, ms = milliseconds,
    wait = function() end,
  }
end

local function of_cuda(device)
  local cuda = gamut.cuda
  return {
    device = device, is_cuda = true, kind = "CUDA events",
    mark = function() return cuda.event():record() end,
    ms = function(from, to) return to:since(from) end,
    wait = function() cuda.synchronize(device) end,
  }
end

---@param device string "cpu" or a CUDA device, which must answer
---@return gamut.bench.Clock
function clock.of(device)
  if device:match "^cuda" then return of_cuda(device) end
  return of_cpu(device)
end

---The device that was asked for; an error in words where it is not there.
---@param wanted "auto"|"cpu"|"cuda"
---@return string
function clock.device(wanted) return gamut.train.device(wanted) end

return clock
