-- CUDA devices: what they are, the memory they have, waiting for them and timing them.
--
--   if gamut.cuda.is_available() then print(gamut.cuda.device_name()) end
--   local began = gamut.cuda.event():record()
--   work()
--   print(gamut.cuda.event():record():since(began) .. " ms")
--
-- A device is "cuda" (the current one) or "cuda:1". Where none answers, all but is_available and device_count raise an
-- error that says why. Training steps are recorded as graphs by train.start{graph = "auto"}, see train/graphs.lua.

local native = require "gamut.native.cuda"
local strict = require "gamut.strict"

---@class gamut.cuda.Event a moment in what the device has to do
---@field record fun(self): gamut.cuda.Event the moment when all that was given so far is done; may be called again
---@field is_over fun(self): boolean
---@field synchronize fun(self) waits for it
---@field since fun(self, earlier: gamut.cuda.Event): number milliseconds between the two; waits for both

---@class gamut.cuda.Description
---@field name string such as "NVIDIA H100 80GB HBM3"
---@field capability string such as "9.0"
---@field multiprocessors integer
---@field bytes integer of its memory

---@class gamut.cuda.Memory bytes
---@field allocated integer held by tensors
---@field allocated_peak integer the most of it since the start or reset_peak_memory
---@field reserved integer kept by the allocator, `allocated` included
---@field reserved_peak integer
---@field free integer of the device, as the driver tells
---@field total integer

---@class gamut.cuda
---@field is_available fun(): boolean
---@field device_count fun(): integer
---@field describe fun(device?: string): gamut.cuda.Description
---@field synchronize fun(device?: string) waits until it has done all that it was given
---@field memory fun(device?: string): gamut.cuda.Memory
---@field reset_peak_memory fun(device?: string)
---@field empty_cache fun() gives back memory that waits for the next tensors
---@field event fun(): gamut.cuda.Event
---@field is_recording fun(): boolean whether what is computed now is recorded as a graph instead
local cuda = strict("gamut.cuda", {
  is_available = native.available, device_count = native.device_count, describe = native.describe,
  synchronize = native.synchronize, memory = native.memory, reset_peak_memory = native.reset_peak_memory,
  empty_cache = native.empty_cache, event = native.event, is_recording = native.is_recording,
})

---@param device? string
---@return string
function cuda.device_name(device) return cuda.describe(device).name end

return cuda
