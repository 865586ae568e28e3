-- The artifact of the golf study: names and order, sizes of the true models, the numbers of its int8 beside an
-- independent computation, both containers, and files that are not what they should be.
package.path = os.getenv "GAMUT_SOURCE" .. "/experiments/golf_long_context/?.lua;" .. package.path
local gamut = require "gamut"
local testing = require "gamut.testing"
local system = require "gamut.native.system"
local architectures = require "golf.architectures"
local artifact = require "golf.artifact"
local containers = require "golf.containers"
local names = require "golf.names"
local precision = require "golf.precision"
local quantization = require "golf.quantization"
local Model = require "golf.model"
local test, equal, is_true = testing.test, testing.equal, testing.is_true

local torch_file, zlib = gamut.torch_file, gamut.zlib
local fixture = os.getenv "GAMUT_SOURCE" .. "/tests/data/golf/quantized.int8.ptz"
local folder = os.tmpname()
os.remove(folder)
system.make_directories(folder)

-- Fails with that text in its message; returns the message.
local function raises(words, fn) return testing.raises(fn, (words:gsub("%p", "%%%0"))) end

local function model_of(given, seed)
  gamut.manual_seed(seed or 1337)
  local model = Model(architectures.options(given, { vocab_size = given.vocab_size or 1024 }))
  precision.apply(model, "bfloat16")
  return model
end

local function without_vocabulary(given)
  local copy = {}
  for key, value in pairs(given) do copy[key] = value end
  copy.vocab_size = nil
  return copy
end

-- Small, with every mixer of the study, and matrices on both sides of 65,536 numbers.
local SMALL = { layers = { "gdn", "attention", "gdn" }, d_model = 192, n_heads = 4, n_kv_heads = 2 }
local function small_model(seed, layers)
  local given = without_vocabulary(SMALL)
  given.layers = layers or given.layers
  return model_of(given, seed)
end

local function same_state(a, b)
  local left, right = a:state_dict(), b:state_dict()
  for i, entry in ipairs(left) do
    if not entry.tensor:equal(right[i].tensor) or entry.tensor.dtype ~= right[i].tensor.dtype then return false end
  end
  return true
end

-- Twin of state_dict() in make_quantized.py.
local function spread(count, step)
  return ((gamut.arange(count) * step):remainder(8191) - 4095):to "float32" / 4096
end

local function odd_rows()
  local rows, column = gamut.zeros { 257, 256 }, gamut.arange(256):to "float32"
  local function set(row, values) rows:select(0, row):copy_(values) end
  set(1, spread(256, 37))
  set(2, spread(256, 101) * 4)
  set(3, (column - 127.5):clamp(-126.5, 126.5) / 127)
  set(4, ((column - 127.5) * 2):clamp(-254, 254))
  rows:select(0, 4):select(0, 1):fill_(254)
  rows:select(0, 5):select(0, 7):fill_(-300.0)
  rows:select(0, 6):fill_(-2.5)
  rows:select(0, 7):fill_(1.0)
  rows:select(0, 8):fill_(1e-42)
  set(9, gamut.full({ 128, 2 }, 8e6):mul(gamut.tensor { 1.0, -1.0 }):flatten())
  rows:select(0, 10):select(0, 0):fill_(127.0)
  set(11, spread(256, 53) * 1e-3)
  rows:select(0, 12):narrow(0, 0, 2):copy_(gamut.tensor { 3.0, -2.0 })
  return rows
end

local function odd_state()
  local embedding, cube = gamut.zeros { 300, 256 }, gamut.zeros { 17, 64, 64 }
  embedding:select(0, 0):copy_(spread(256, 17))
  embedding:select(0, 299):copy_(spread(256, 29) * 3)
  cube:select(0, 3):copy_(spread(4096, 11):view { 64, 64 } * 2)
  return {
    { "skip_weights", spread(8, 5):view { 2, 4 } },
    { "tok_emb.weight", embedding:to "bfloat16" },
    { "blocks.0.attn_scale", spread(4, 3):to "bfloat16" },
    { "blocks.0.attn.q_gain", gamut.tensor { 1.5, 1 / 3 } },
    { "blocks.0.attn.c_q.weight", odd_rows() },
    { "blocks.0.attn.c_v.weight", gamut.full({ 256, 256 }, 1 / 3) },
    { "blocks.0.small.weight", spread(6, 7):view { 2, 3 } / 3 },
    { "blocks.0.small.bias", (spread(3, 9) / 3):to "bfloat16" },
    { "blocks.0.small.half", (spread(3, 13) / 3):to "float16" },
    { "blocks.0.small.double", spread(3, 15):to "float64" / 3 },
    { "blocks.0.cube", cube },
    { "blocks.0.empty_cube", gamut.zeros { 65537 } },
    { "blocks.0.steps", gamut.tensor { 3, -(1 << 40) } },
  }
end

test("integers, scales and every byte before compression are those of an independent computation", function()
  local theirs, ours = artifact.read(fixture), quantization.quantize(odd_state())
  for i, entry in ipairs(theirs.quantized) do
    equal(ours.quantized[i], entry)
    equal(ours.scales[entry[1]], theirs.scales[entry[1]])
  end
  equal(ours, theirs)
  local path = folder .. "/odd.int8.ptz"
  local raw, compressed = containers.write_ptz(path, ours)
  local bytes = zlib.decompress(system.read_file(path), 1 << 24)
  is_true(bytes == zlib.decompress(system.read_file(fixture), 1 << 24), "other bytes")
  equal({ #bytes, #system.read_file(path) }, { raw, compressed })
end)

test("odd rows: the floor of the scale, the clipping quantile, halves to even", function()
  local ours = quantization.quantize(odd_state())
  local scales, rows = ours.scales["blocks.0.attn.c_q.weight"]:float(), ours.quantized[2][2]
  local step = 0.00787353515625 -- 1/127 in float16
  for _, row in ipairs { 0, 1, 7, 8, 11 } do equal(scales:at { row }:item(), step) end
  equal(rows:select(0, 0):abs():max():item(), 0)
  equal(rows:select(0, 7):min():item(), 127)
  equal(rows:select(0, 6):max():item(), -127)
  equal(rows:select(0, 11):abs():max():item(), 0)
  -- The quantile lies between the two largest magnitudes, so a lone one is clipped a little.
  local clip = 300 * (1 - (255 - (gamut.tensor(0.9999984):float() * 255):item()))
  equal(scales:at { 5 }:item(), (gamut.tensor(clip):float() / 127):half():item())
  equal(scales:at { 4 }:item(), 2.0)
  equal(rows:select(0, 4):narrow(0, 126, 6):tolist(), { -2, 0, 0, 2, 2, 4 }) -- of -1.5 to 3.5
  equal(quantization.dequantize(ours)[2][2]:at { 7, 0 }:item(), 127 * step)
end)

test("what cannot be quantised is refused by name", function()
  local function refused(words, value, count)
    local weight = gamut.zeros { count or 257, 256 }
    weight:select(0, 3):select(0, 5):fill_(value)
    raises(words, function() quantization.quantize { { "blocks.0.mlp.fc.weight", weight } } end)
  end
  refused("blocks.0.mlp.fc.weight holds NaN or an infinity", 0 / 0)
  refused("blocks.0.mlp.fc.weight holds NaN or an infinity", math.huge, 8)
  refused("numbers too large for a scale in float16", 9e6)
  refused("numbers beyond 65504", 7e4, 8)
  local model = small_model()
  model.tok_emb.weight:detach():select(0, 0):fill_(0 / 0)
  raises("tok_emb.weight holds NaN", function() artifact.write(model, folder .. "/diverged") end)
  is_true(not system.exists(folder .. "/diverged"), "files of a refused model")
end)

-- Bytes of section 5 of the study's description: tensors, payload, before compression, the raw file from a GPU.
local PUBLISHED = {
  baseline = { tensors = 67191072, payload = 17178912, raw = 17224025, model = 67224983, count = 92 },
  hybrid = { tensors = 68704560, payload = 17632760, raw = 17697947, model = 68757823, count = 148 },
  hybrid_4k = { tensors = 56600352, payload = 14564800, raw = 14627373, model = 56650735, count = 140 },
}

for _, architecture in ipairs { "baseline", "hybrid", "hybrid_4k" } do
  test("sizes of the " .. architecture .. " are the published ones to the byte", function()
    local published = PUBLISHED[architecture]
    local model = model_of { architecture = architecture }
    local state = names.study_state(model)
    local quantized = artifact.quantize(state)
    local raw = torch_file.encode(containers.object(quantized))
    local tensors = 0
    for _, entry in ipairs(state) do tensors = tensors + entry[2].nbytes end
    local file = folder .. "/" .. artifact.MODEL -- the file's name is part of its bytes
    local bytes = artifact.save_model(model, file, { location = "cuda:0" })
    equal({ #state, tensors, quantization.payload_bytes(quantized), #raw, bytes },
      { published.count, published.tensors, published.payload, published.raw, published.model })
  end)
end

test("names and order are the study's", function()
  local found = {}
  for i, entry in ipairs(names.study_state(small_model())) do found[i] = entry.name end
  local expected = { "skip_weights", "tok_emb.weight" }
  local function add(prefix, list)
    for word in list:gmatch "%S+" do expected[#expected + 1] = prefix .. word end
  end
  local gdn = "A_log dt_bias o_norm_weight w_q.weight w_k.weight w_v.weight w_a.weight w_b.weight w_g.weight "
    .. "w_out.weight q_conv.weight k_conv.weight v_conv.weight"
  for i, mixer in ipairs { gdn, "q_gain c_q.weight c_k.weight c_v.weight proj.weight", gdn } do
    local block = ("blocks.%d."):format(i - 1)
    add(block, "attn_scale mlp_scale resid_mix")
    add(block .. "mixer.", mixer)
    add(block .. "mlp.", "fc.weight proj.weight")
  end
  equal(found, expected)
  local baseline = small_model(1, { "attention" })
  equal(names.study_state(baseline)[6].name, "blocks.0.attn.q_gain")
  equal(names.study_state(baseline, { mixer_name = "mixer" })[6].name, "blocks.0.mixer.q_gain")
  raises("mixer_name must be attn or mixer", function() names.study_state(baseline, { mixer_name = "attention" }) end)
end)

test("a model comes back from both containers as it is dequantised", function()
  for _, layers in ipairs { SMALL.layers, { "attention" }, { "mamba", "attention" }, { "memory_cache" } } do
    local model = small_model(1, layers)
    local sizes, paths = artifact.write(model, folder .. "/small")
    equal(sizes.artifact, #system.read_file(paths.artifact))
    equal(sizes.model, #system.read_file(paths.model))
    local twins = {}
    for i, path in ipairs { paths.artifact, paths.safetensors } do
      twins[i] = small_model(2, layers)
      artifact.load(twins[i], path)
    end
    is_true(same_state(twins[1], twins[2]), "the containers differ")
    for _, entry in ipairs(model:state_dict()) do
      local gap = 0
      for _, twin in ipairs(twins[1]:state_dict()) do
        local is_it = twin.name == entry.name and twin.tensor:numel() > 0
        if is_it then gap = (twin.tensor - entry.tensor):abs():max():item() end
      end
      is_true(gap <= 0.5 / 127 + 1e-6, ("%s is %g off"):format(entry.name, gap))
    end
    -- The raw weights, exactly.
    local raw = small_model(3, layers)
    raw:load(torch_file.load(paths.model), { rename = names.own_name })
    is_true(same_state(raw, model), "final_model.pt holds other weights")
  end
end)

test("a second roundtrip changes nothing", function()
  local model = small_model()
  local _, paths = artifact.write(model, folder .. "/once")
  artifact.load(model, paths.artifact)
  local before = small_model(2)
  artifact.load(before, paths.artifact)
  local _, again = artifact.write(model, folder .. "/twice")
  artifact.load(model, again.artifact)
  is_true(same_state(model, before), "the second roundtrip moved the weights")
end)

test("a state dict of PyTorch lists the versions of the study's modules", function()
  local model = small_model()
  local _, paths = artifact.write(model, folder .. "/versions")
  local meta = getmetatable(torch_file.load(paths.model))
  equal(meta.kind, "ordered_dict")
  local listed = getmetatable(meta.attributes._metadata).keys
  equal({ listed[1], listed[2], listed[3], listed[4], listed[5], listed[7], #listed },
    { "", "tok_emb", "blocks", "blocks.0", "blocks.0.attn_norm", "blocks.0.mixer", 4 + 3 * 7 + 10 + 5 + 10 })
  equal(meta.attributes._metadata["blocks.2.mlp.fc"].version, 1)
end)

-- A file like the artifact of `model` with its dictionary changed.
local function changed(path, change)
  local object = torch_file.decode(zlib.decompress(system.read_file(path), 1 << 26))
  change(object)
  local bad = folder .. "/bad.int8.ptz"
  system.write_file(bad, zlib.compress(torch_file.encode(object), 1))
  return bad
end

test("files that are not what they should be are refused in words, and nothing is copied", function()
  local model = small_model()
  local _, paths = artifact.write(model, folder .. "/good")
  local good, target, untouched = system.read_file(paths.artifact), small_model(7), small_model(7)
  local function refused(words, path)
    local message = raises(words, function() artifact.load(target, path) end)
    is_true(message:find(path, 1, true), "the file is not named: " .. message)
  end
  local function refused_bytes(words, bytes)
    system.write_file(folder .. "/bytes.int8.ptz", bytes)
    refused(words, folder .. "/bytes.int8.ptz")
  end
  local function refused_change(words, change) refused(words, changed(paths.artifact, change)) end

  for _, part in ipairs { 0, 1, 100, #good // 2, #good - 1 } do refused_bytes("is truncated", good:sub(1, part)) end
  refused_bytes("no zlib stream or damaged", "PK\3\4" .. good)
  refused_bytes("truncated or no zip archive", zlib.compress("PK but no archive", 9))
  refused_bytes("is text and no checkpoint", zlib.compress("no archive at all", 9))
  refused_bytes("inflates to more than", zlib.compress(("\0"):rep(1 << 24), 9))
  refused("No such file", folder .. "/missing.int8.ptz")

  refused_change("its format is int4, and only int8_clean_per_row_v1 is read",
    function(object) object.__quant_format__ = "int4" end)
  refused_change("its format is nil", function(object) object.__quant_format__ = nil end)
  for _, key in ipairs { "quantized", "scales", "dtypes", "passthrough" } do
    refused_change(("its `%s` is missing"):format(key), function(object) object[key] = nil end)
    refused_change(("its `%s` is missing"):format(key), function(object) object[key] = "none" end)
  end
  refused_change("`scales` of `tok_emb.weight` is not a tensor",
    function(object) object.scales["tok_emb.weight"] = 1.0 end)
  refused_change("tok_emb.weight has no scale", function(object) object.scales["tok_emb.weight"] = nil end)
  refused_change("there must be one a row",
    function(object) object.scales["tok_emb.weight"] = gamut.ones({ 192 }, { dtype = "float16" }) end)
  refused_change("are float32, not int8",
    function(object) object.quantized["tok_emb.weight"] = gamut.ones { 1024, 192 } end)
  refused_change("tok_emb.weight has no dtype", function(object) object.dtypes["tok_emb.weight"] = "float12" end)
  refused_change("has a scale or a dtype and no integers",
    function(object) object.quantized["tok_emb.weight"] = nil end)
  refused_change("both as integers and as it was",
    function(object) object.passthrough["tok_emb.weight"] = gamut.ones { 2 } end)
  refused_change("is said to have been int7",
    function(object) object.passthrough_orig_dtypes["blocks.0.mixer.A_log"] = "int7" end)
  refused_change("the numbers of tok_emb.weight do not lie in a row",
    function(object)
      object.quantized["tok_emb.weight"] = gamut.ones({ 1, 1 }, { dtype = "int8" }):expand { 1024, 192 }
    end)
  refused_change("the numbers of skip_weights do not lie in a row",
    function(object) object.passthrough.skip_weights = gamut.ones { 1 }:expand { 1 << 40 } end)
  refused_change("missing (1): skip_weights", function(object) object.passthrough.skip_weights = nil end)
  refused_change("unexpected (1): extra", function(object) object.passthrough.extra = gamut.ones { 2 } end)
  refused_change("skip_weights is [1, 192] here and [2] in what is loaded",
    function(object) object.passthrough.skip_weights = gamut.ones { 2 } end)

  local tensors = gamut.safetensors.load(paths.safetensors)
  local plain = folder .. "/plain.safetensors"
  gamut.safetensors.save(plain, tensors, { format = "pt" })
  refused("its format is none", plain)
  gamut.safetensors.save(plain, tensors, { quant_format = quantization.FORMAT, dtypes = "{" })
  refused("its metadata `dtypes` is missing or no JSON", plain)
  is_true(same_state(target, untouched), "a refused file changed the model")
end)

os.execute(("rm -r '%s'"):format(folder))
testing.finish()
