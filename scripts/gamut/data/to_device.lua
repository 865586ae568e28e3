-- Batches on their way to a device.

local cuda = require "gamut.native.cuda"

-- By way of memory that the device reads by itself, so that nobody waits: neither this program for what the device
-- still has to do, nor the device for this program's next words.
local function to_cuda(tensor, device)
  if cuda.is_recording() then
    error("a batch was fetched from a loader other than the run's `data` while the step was recorded", 0)
  end
  return tensor:pin_memory():to({device = device, non_blocking = true})
end

---The tensors on `device`; what follows them is passed on as it is.
---@param device? string nil: the CPU
---@param first gamut.Tensor
---@param second gamut.Tensor
return function(device, first, second, ...)
  if not device or device == "cpu" then return first, second, ... end
  if device:match "^cuda" then return to_cuda(first, device), to_cuda(second, device), ... end
  return first:to(device), second:to(device), ...
end
