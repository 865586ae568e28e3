-- nn.init and the layers' own initial values: the same numbers as PyTorch 2.11 from the same seed.
-- tests/data/nn/make_goldens.py wrote the goldens.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local goldens = {}
for _, entry in ipairs(gamut.safetensors.load(folder .. "/../data/nn/goldens.safetensors")) do
  goldens[entry[1] or entry.name] = entry[2] or entry.tensor
end

local function golden(name)
  return goldens[name] or error("there is no golden " .. name)
end

local fills = {
  normal = function(t) return nn.init.normal(t, 0.5, 2.0) end,
  uniform = function(t) return nn.init.uniform(t, -1.0, 3.0) end,
  trunc_normal = function(t) return nn.init.trunc_normal(t, 0.1, 0.7, -1.0, 0.9) end,
  xavier_uniform = function(t) return nn.init.xavier_uniform(t, 1.5) end,
  xavier_normal = function(t) return nn.init.xavier_normal(t) end,
  kaiming_uniform = function(t) return nn.init.kaiming_uniform(t, { a = math.sqrt(5) }) end,
  kaiming_normal = function(t)
    return nn.init.kaiming_normal(t, { mode = "fan_out", nonlinearity = "relu" })
  end,
  orthogonal = function(t) return nn.init.orthogonal(t, 0.8) end,
}

for name, fill in pairs(fills) do
  testing.test(name .. " draws PyTorch's numbers", function()
    for _, shape in ipairs { { 3, 5 }, { 6, 4 }, { 4, 3, 2 } } do
      gamut.manual_seed(1234)
      local tensor = gamut.empty(shape)
      testing.is_true(fill(tensor) == tensor, "the tensor itself is returned")
      local expected = golden(("init.%s.%s"):format(name, table.concat(shape, "x")))
      -- QR goes through LAPACK, whose last bits depend on the machine.
      if name == "orthogonal" then
        testing.close(tensor, expected, 1e-5)
      else
        testing.equal(tensor, expected)
      end
    end
  end)
end

testing.test("bfloat16 draws", function()
  gamut.manual_seed(7)
  testing.equal(nn.init.normal(gamut.empty({ 9, 11 }, { dtype = "bfloat16" })), golden "init.bfloat16.normal")
end)

testing.test("layers draw in the order of construction", function()
  local Mlp = nn.module "Mlp"
  function Mlp:init()
    self.embed = nn.Embedding(20, 12)
    self.up = nn.Linear(12, 24)
    self.down = nn.Linear(24, 12, { bias = false })
  end
  gamut.manual_seed(42)
  local model = Mlp()
  for _, entry in ipairs(model:state_dict()) do
    testing.equal(entry.tensor:detach(), golden("construct." .. entry.name))
  end
  testing.equal(gamut.rand { 4 }, golden "construct.next")
end)

-- The published initial values of a study's 17M model (seed 1337): each linear draws as PyTorch's, in
-- the order of construction, and the embedding is drawn a second time at the end.
testing.test("a whole model's draws", function()
  gamut.manual_seed(1337)
  local embed = nn.Embedding(1024, 512)
  local first_linear, last_up
  for _ = 1, 9 do
    local shapes = { { 512, 512 }, { 512, 256 }, { 512, 256 }, { 512, 512 }, { 512, 1024 }, { 1024, 512 } }
    for position, shape in ipairs(shapes) do
      local linear = nn.Linear(shape[1], shape[2], { bias = false })
      first_linear = first_linear or linear
      if position == 5 then last_up = linear end
    end
  end
  nn.init.normal(embed.weight, 0.0, 0.005)
  local function first_three(module) return module.weight:detach():at { 0, { 0, 3 } } end
  testing.close(first_three(embed), gamut.tensor { -0.00471155, 0.00183675, -0.00427210 }, 1e-8)
  testing.close(first_three(first_linear), gamut.tensor { -0.0265580, -0.0439086, 0.00546281 }, 1e-7)
  testing.close(first_three(last_up), gamut.tensor { 0.00972062, -0.0157745, -0.0243000 }, 1e-7)
end)

testing.test("orthogonal matrices are orthogonal", function()
  local tensor = nn.init.orthogonal(gamut.empty { 4, 9 })
  testing.close(gamut.matmul(tensor, tensor:t()), gamut.eye(4), 1e-5)
end)

testing.test("zeros, ones, constant and parameters", function()
  local parameter = nn.parameter(gamut.ones { 3 })
  testing.equal(nn.init.zeros(parameter):tolist(), { 0.0, 0.0, 0.0 })
  testing.equal(nn.init.ones(parameter):tolist(), { 1.0, 1.0, 1.0 })
  testing.equal(nn.init.constant(parameter, 0.25):tolist(), { 0.25, 0.25, 0.25 })
  testing.equal(parameter.requires_grad, true)
end)

testing.test("mistakes", function()
  local vector = gamut.empty { 3 }
  testing.raises(function() nn.init.xavier_uniform(vector) end, "two or more dimensions; this one has 1")
  testing.raises(function() nn.init.orthogonal(vector) end, "two or more dimensions")
  testing.raises(function() nn.init.gain("swish") end, "no gain is known for the nonlinearity `swish`")
  testing.raises(function() nn.init.kaiming_normal(gamut.empty { 2, 2 }, { mode = "in" }) end, "not `in`")
  testing.close(nn.init.gain("leaky_relu", 0.2), math.sqrt(2 / 1.04), 1e-12)
end)

testing.finish()
