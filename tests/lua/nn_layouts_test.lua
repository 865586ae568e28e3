-- Loading weights that are named and packed as another project does it.
local gamut = require "gamut"
local testing = require "gamut.testing"
local nn = gamut.nn

local source = os.getenv "GAMUT_SOURCE" or "."
local QWEN = source .. "/tests/data/mixers/layer_gdn_qwen3next.safetensors"

local function qwen_mixer(options)
  local all = { preset = "qwen3_next", d_model = 64, n_heads = 2, n_v_heads = 4, head_dim = 16, expand_v = 1.5 }
  for name, value in pairs(options or {}) do all[name] = value end
  return nn.mixer("gdn", all)
end

local function tensors(path)
  local all = {}
  for _, entry in ipairs(gamut.safetensors.load(path)) do all[entry.name or entry[1]] = entry.tensor or entry[2] end
  return all
end

-- The fixture's weights below `prefix`, as a checkpoint has them.
local function checkpoint(prefix)
  local all = {}
  for name, tensor in pairs(tensors(QWEN)) do
    local weight = name:match "^w%.(.*)"
    if weight then all[prefix .. weight] = tensor end
  end
  return all
end

local function Model()
  local Class = nn.module "Model"
  function Class:init()
    self.embed = nn.Embedding(4, 64)
    self.blocks = nn.list { qwen_mixer(), qwen_mixer() }
  end
  return Class()
end

testing.test("a mixer takes another project's tensors and computes what that project does", function()
  local fixture, mixer = tensors(QWEN), qwen_mixer()
  local report = mixer:load(checkpoint "")
  testing.equal({ report.missing, report.unexpected }, { {}, {} })
  testing.close(mixer(fixture.x), fixture.y, 1e-5)
end)

testing.test("in a model, by path, after rename, next to tensors that are named as here", function()
  local model, fixture = Model(), tensors(QWEN)
  local saved = checkpoint "model.layers.0.linear_attn."
  for _, entry in ipairs(qwen_mixer():state_dict()) do
    saved["model.layers.1.linear_attn." .. entry.name] = entry.tensor
  end
  saved["model.embed_tokens.weight"] = gamut.ones { 4, 64 }
  model:load(saved, {
    rename = function(name)
      name = name:gsub("^model%.layers%.(%d+)%.linear_attn%.", "blocks.%1.")
      return (name:gsub("^model%.embed_tokens%.", "embed."))
    end,
  })
  testing.close(model.blocks[1](fixture.x), fixture.y, 1e-5)
  testing.equal(model.embed.weight:min():item(), 1.0)
  testing.close(model.blocks[2]["q_proj.weight"], saved["model.layers.1.linear_attn.q_proj.weight"], 0)
end)

testing.test("what does not fit is said by the mixer, and nothing is copied", function()
  local model = Model()
  local saved = checkpoint "blocks.0."
  for name, tensor in pairs(checkpoint "blocks.1.") do saved[name] = tensor end
  saved["embed.weight"] = gamut.ones { 4, 64 }
  saved["blocks.1.in_proj_ba.weight"] = gamut.zeros { 4, 64 }
  saved["blocks.0.stray"] = gamut.zeros { 1 }
  local before = model.blocks[1]["q_proj.weight"]:clone()
  for _, strict in ipairs { true, false } do
    local message = testing.raises(function() model:load(saved, { strict = strict }) end,
      "nn_layouts_test.lua:%d+: cannot load into Model")
    testing.is_true(message:find("blocks.0 (gdn): the tensors are named as in transformers' Qwen3-Next and do not fit: "
      .. "unexpected: `stray`", 1, true), message)
    testing.is_true(message:find("`in_proj_ba.weight` is [4, 64] and should be [8, 64]", 1, true), message)
    testing.is_true(not message:find("missing", 1, true), message)
    testing.is_true(model.embed.weight:min():item() < 1.0, "the embedding was copied")
    testing.close(model.blocks[1]["q_proj.weight"], before, 0)
  end
  saved["blocks.1.in_proj_ba.weight"] = nil
  testing.raises(function() model:load(saved) end, "blocks%.1 %(gdn%).*missing: `in_proj_ba.weight`")
end)

testing.test("names of the mixer's own are missing or unexpected as anywhere", function()
  local mixer = nn.mixer("gdn", { d_model = 16, n_heads = 2 })
  local saved = mixer:state_dict()
  saved[#saved + 1] = { "stray", gamut.zeros { 1 } }
  testing.raises(function() mixer:load(saved) end, "unexpected %(1%): stray")
  testing.equal(mixer:load(saved, { strict = false }).unexpected, { "stray" })
  testing.raises(function() mixer:load { saved[1], saved[2] } end, "missing %(11%): v_proj.weight")
end)

testing.test("a mixer written in Lua may import, too", function()
  local Scale = nn.module "Scale"
  function Scale:init() self.scale = nn.parameter(gamut.ones { 2 }) end
  function Scale:forward(x) return x end
  function Scale:new_state() return nn.state {} end
  function Scale:import_weights(given)
    if given[1][1] ~= "gamma" then return nil end
    if #given > 1 then error("only gamma is known, not " .. given[2][1], 0) end
    return { { "scale", given[1][2] * 2 } }
  end
  nn.register_mixer("scale", Scale, {})
  local list = nn.list { nn.mixer("scale", {}), nn.mixer("scale", {}) }
  list:load { { "0.gamma", gamut.full({ 2 }, 3.0) }, { "1.scale", gamut.full({ 2 }, 5.0) } }
  testing.equal(list[1].scale:tolist(), { 6.0, 6.0 })
  testing.equal(list[2].scale:tolist(), { 5.0, 5.0 })
  testing.raises(function()
    list:load { { "0.gamma", gamut.ones { 2 } }, { "0.other", gamut.ones { 2 } }, { "1.scale", gamut.ones { 2 } } }
  end, "0 %(scale%): only gamma is known, not other")
end)

testing.finish()
