-- Feed-forward layers: SwiGLU and squared ReLU.
local gamut = require "gamut"
local Linear = require "gamut.nn.linear"
local module = require "gamut.nn.module"
local check = require "gamut.options"

---down(silu(gate x) * up x) (Shazeer 2020).
---@class gamut.nn.SwiGLU : gamut.nn.Module
---@overload fun(d: integer, d_ff: integer, options?: {bias?: boolean}): gamut.nn.SwiGLU
local SwiGLU = module.class "SwiGLU"

---Draws gate_proj, up_proj, down_proj.
---@param d integer
---@param d_ff integer
---@param options? {bias?: boolean} default false
function SwiGLU:init(d, d_ff, options)
  local linear = { bias = check("nn.SwiGLU", options, { bias = "boolean?" }).bias == true }
  self.gate_proj = Linear(d, d_ff, linear)
  self.up_proj = Linear(d, d_ff, linear)
  self.down_proj = Linear(d_ff, d, linear)
end

---@param x gamut.Tensor [..., d]
---@return gamut.Tensor [..., d]
function SwiGLU:forward(x)
  local gate_proj, up_proj = self.gate_proj, self.up_proj
  if gate_proj.bias or up_proj.bias then
    return self.down_proj(gamut.ops.gamut.swiglu(gate_proj(x), up_proj(x)))
  end
  local both = gamut.ops.gamut.linears(x, { gate_proj.weight, up_proj.weight })
  return self.down_proj(gamut.ops.gamut.swiglu(both[1], both[2]))
end

---down(relu(up x)^2) (So et al. 2021).
---@class gamut.nn.ReLU2 : gamut.nn.Module
---@overload fun(d: integer, d_ff: integer, options?: {bias?: boolean}): gamut.nn.ReLU2
local ReLU2 = module.class "ReLU2"

---Draws up_proj, down_proj.
---@param d integer
---@param d_ff integer
---@param options? {bias?: boolean} default false
function ReLU2:init(d, d_ff, options)
  local linear = { bias = check("nn.ReLU2", options, { bias = "boolean?" }).bias == true }
  self.up_proj = Linear(d, d_ff, linear)
  self.down_proj = Linear(d_ff, d, linear)
end

---@param x gamut.Tensor [..., d]
---@return gamut.Tensor [..., d]
function ReLU2:forward(x) return self.down_proj(gamut.ops.gamut.relu_squared(self.up_proj(x))) end

return { SwiGLU = SwiGLU, ReLU2 = ReLU2 }
