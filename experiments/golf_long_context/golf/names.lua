-- The study's names for the tensors of golf.Model, in the order of its state dict, which are PyTorch's: of each module
-- its own parameters first, then those of the modules in it. Files that leave the platform have them.
local check = require "gamut.options"

local names = {}

-- Of each mixer, the study's names in its order: own parameters, then modules. `parts` is the other way round, ours by
-- theirs. `modules` are those that hold no parameter too.
local MIXERS = {
  attention = {
    own = { "q_gain" },
    modules = { "c_q", "c_k", "c_v", "proj", "rotary" },
    parts = { q_gain = "q_gain", c_q = "q_proj", c_k = "k_proj", c_v = "v_proj", proj = "o_proj" },
  },
  gdn = {
    own = { "A_log", "dt_bias", "o_norm_weight" },
    modules = { "w_q", "w_k", "w_v", "w_a", "w_b", "w_g", "w_out", "q_conv", "k_conv", "v_conv" },
    parts = {
      A_log = "A_log", dt_bias = "dt_bias", o_norm_weight = "o_norm.weight", w_q = "q_proj", w_k = "k_proj",
      w_v = "v_proj", w_a = "a_proj", w_b = "b_proj", w_g = "g_proj", w_out = "o_proj", q_conv = "q_conv1d",
      k_conv = "k_conv1d", v_conv = "v_conv1d",
    },
  },
}

local BLOCK_OWN = { "attn_scale", "mlp_scale", "resid_mix" }
local MLP = { { "fc", "up_proj" }, { "proj", "down_proj" } }

-- Whether the study's code would read these tensors as the mixer means them: it rotates halves, in reverse.
local function is_studys(mixer)
  if mixer.name == "gdn" then return true end
  local options = mixer.options
  return mixer.name == "attention" and (options.rope or "half") == "half" and options.rope_reverse and not options.cross
end

-- Ours by theirs for what the mixer holds, in their order; nil when it holds something that the study's has not.
local function mixer_names(mixer, tensors)
  local layout = is_studys(mixer) and MIXERS[mixer.name]
  if not layout then return nil end
  local left, list = {}, {}
  for _, entry in ipairs(tensors) do left[entry[1]] = true end
  local function add(theirs, ours)
    if left[ours] then list[#list + 1], left[ours] = { theirs, ours }, nil end
  end
  for _, theirs in ipairs(layout.own) do add(theirs, layout.parts[theirs]) end
  for _, theirs in ipairs(layout.modules) do
    local ours = layout.parts[theirs]
    if ours then add(theirs .. ".weight", ours .. ".weight") end
  end
  return next(left) == nil and list or nil
end

-- `attn` where every mixer is attention, as in the study's baseline, else `mixer`.
local function mixer_name(model, options)
  check("names", options, { mixer_name = "string?" })
  local given = options and options.mixer_name
  if given and given ~= "attn" and given ~= "mixer" then
    error(("mixer_name must be attn or mixer, not %s"):format(given), 3)
  end
  if given then return given end
  for _, block in ipairs(model.blocks) do
    if block.mixer.name ~= "attention" then return "mixer" end
  end
  return "attn"
end

-- The mixer's tensors as {their name, ours}; ours as they are where the study has no such mixer.
local function mixer_entries(mixer)
  local tensors, same = mixer:state_dict(), {}
  for i, entry in ipairs(tensors) do same[i] = { entry[1], entry[1] } end
  return mixer_names(mixer, tensors) or same
end

---@param model golf.Model
---@param options? {mixer_name?: "attn"|"mixer"} default: attn where every mixer is attention
---@return gamut.nn.NamedTensor[] the state of the model, detached, under the study's names in its order
function names.study_state(model, options)
  local mixer, list, ours = mixer_name(model, options), {}, {}
  for _, entry in ipairs(model:state_dict()) do ours[entry.name] = entry.tensor end
  local function add(theirs, own)
    local tensor = ours[own]:detach()
    list[#list + 1] = { theirs, tensor, name = theirs, tensor = tensor }
  end
  add("skip_weights", "skip_weights")
  add("tok_emb.weight", "tok_emb.weight")
  for i, block in ipairs(model.blocks) do
    local prefix = ("blocks.%d."):format(i - 1)
    for _, name in ipairs(BLOCK_OWN) do add(prefix .. name, prefix .. name) end
    for _, pair in ipairs(mixer_entries(block.mixer)) do
      add(prefix .. mixer .. "." .. pair[1], prefix .. "mixer." .. pair[2])
    end
    for _, pair in ipairs(MLP) do
      add(("%smlp.%s.weight"):format(prefix, pair[1]), ("%smlp.%s.weight"):format(prefix, pair[2]))
    end
  end
  return list
end

-- The modules inside a mixer of the study's; of another the parts of its tensors' names.
local function mixer_modules(mixer)
  if mixer_names(mixer, mixer:state_dict()) then return MIXERS[mixer.name].modules end
  local list, seen = {}, {}
  for _, entry in ipairs(mixer:state_dict()) do
    for at in entry[1]:gmatch "()%." do
      local path = entry[1]:sub(1, at - 1)
      if not seen[path] then list[#list + 1], seen[path] = path, true end
    end
  end
  return list
end

---The paths of the study's modules in its order, "" for the model: a state dict of PyTorch's lists them with their
---versions, those without a parameter too.
---@param model golf.Model
---@param options? {mixer_name?: "attn"|"mixer"}
---@return string[]
function names.study_modules(model, options)
  local mixer, list = mixer_name(model, options), { "", "tok_emb", "blocks" }
  for i, block in ipairs(model.blocks) do
    local path = ("blocks.%d"):format(i - 1)
    for _, name in ipairs { "", ".attn_norm", ".mlp_norm", "." .. mixer } do list[#list + 1] = path .. name end
    for _, name in ipairs(mixer_modules(block.mixer)) do list[#list + 1] = ("%s.%s.%s"):format(path, mixer, name) end
    for _, name in ipairs { ".mlp", ".mlp.fc", ".mlp.proj" } do list[#list + 1] = path .. name end
  end
  list[#list + 1] = "final_norm"
  return list
end

---Our name for a tensor of the study's, but for what mixers rename themselves when they are loaded:
---model:load(state, { rename = names.own_name }).
---@param name string
---@return string
function names.own_name(name)
  local block, rest = name:match "^(blocks%.%d+%.)(.+)$"
  if not block then return name end
  rest = rest:gsub("^attn%.", "mixer.")
  for _, pair in ipairs(MLP) do rest = rest:gsub("^mlp%." .. pair[1] .. "%.", "mlp." .. pair[2] .. ".") end
  return block .. rest
end

return names
