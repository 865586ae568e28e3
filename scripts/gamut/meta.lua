---@meta gamut
-- For editors only, never run: what the program itself puts into `gamut` and into tensors.
-- `gamut stubs` writes it out together with all operators of LibTorch.

---@alias device "cpu"|"cuda"|string
---@alias layout "strided"|"sparse"|string
---@alias memory_format "contiguous"|"preserve"|"channels_last"|"channels_last_3d"
---@alias indices (integer|integer[]|boolean|string|Tensor)[]

---@class Generator
local Generator = {}
---@param seed integer
---@return Generator
function Generator:manual_seed(seed) end
---@return Tensor
function Generator:state() end
---@param state Tensor
function Generator:set_state(state) end

---@class Scope
local Scope = {}
-- Frees the scope's tensors.
function Scope:close() end

---@class gamut
---@field version string
---@field libtorch_version string
---@field ops table<string, table<string, function>> operators of other namespaces
---@field submodules table<string, string>
---@field nn table
---@field data table
---@field optim table
---@field train table
---@field eval table
---@field report table
---@field statistics table
---@field study table
---@field testing table
---@field json table
---@field safetensors table
---@field torch_file gamut.torch_file
---@field zlib gamut.zlib
---@field plugins table
---@field cuda gamut.cuda
local gamut = {}

---@class gamut.zlib
local zlib = {}
---@param bytes string
---@param level? integer 0 (stored) to 9 (smallest), -1 (the default) is zlib's choice
---@return string
function zlib.compress(bytes, level) end
-- One stream and nothing behind it; an error where it inflates to more than `limit` bytes.
---@param bytes string
---@param limit integer
---@param name? string what messages call the bytes
---@return string
function zlib.decompress(bytes, limit, name) end

-- Integers become int64, other numbers float32, booleans bool.
---@param value number|boolean|table|Tensor
---@param options? {dtype?: dtype, device?: device, requires_grad?: boolean}
---@return Tensor
function gamut.tensor(value, options) end
---@param value any
---@return boolean
function gamut.is_tensor(value) end
-- Calls fn(...) and frees every tensor made inside, except those in what it returns.
---@param fn fun(...): ...
---@return any ...
function gamut.scope(fn, ...) end
-- `local scope <close> = gamut.new_scope()`: frees at the end of the block.
---@return Scope
function gamut.new_scope() end
-- Takes tensors, or tables of them, out of every scope.
function gamut.keep(...) end
-- Bytes that live tensors hold, as the collector was told.
---@return integer
function gamut.live_bytes() end
---@param fn fun(...): ...
function gamut.no_grad(fn, ...) end
---@param fn fun(...): ...
function gamut.enable_grad(fn, ...) end
---@return boolean
function gamut.is_grad_enabled() end
---@param dtype "bfloat16"|"float16"|"float32"
---@param fn fun(...): ...
function gamut.autocast(dtype, fn, ...) end
---@return boolean
function gamut.is_autocast_enabled() end
---@param outputs Tensor|Tensor[]
---@param inputs Tensor|Tensor[]
---@param options? {grad_outputs?: Tensor[], retain_graph?: boolean, create_graph?: boolean, allow_unused?: boolean}
---@return Tensor|Tensor[]
function gamut.grad(outputs, inputs, options) end
---@param seed integer
function gamut.manual_seed(seed) end
---@param device? device
---@return Tensor
function gamut.rng_state(device) end
---@param state Tensor
---@param device? device
function gamut.set_rng_state(state, device) end
---@param options? {seed?: integer, device?: device}
---@return Generator
function gamut.generator(options) end
---@param on boolean
---@param warn_only? boolean
function gamut.deterministic(on, warn_only) end
---@return boolean
function gamut.is_deterministic() end
---@param n integer
function gamut.set_num_threads(n) end
---@return integer
function gamut.num_threads() end

---Gives memory that waits for the next tensors back to the system.
function gamut.release_memory() end
---@return boolean
function gamut.cuda_available() end
-- The signal that asked the program to end, or nil.
---@return "SIGINT"|"SIGTERM"|nil
function gamut.interrupted() end
-- Makes reading a global that was never set an error.
function gamut.strict() end
---@param name string
---@param options? table
---@return gamut.Tokenizer
function gamut.tokenizer(name, options) end

-- Audio: float32 [channels, time] in [-1, 1].
---@alias gamut.Audio {samples: Tensor, sample_rate: integer}

-- Between raw data (text, or audio) and codes, int64 [codebooks, steps].
---@class gamut.Tokenizer
---@field name string
---@field vocab_size integer
---@field codebooks integer
---@field is_audio boolean
---@field frame_rate number code columns a second; 0 for text
---@field sample_rate integer Hz; 0 for text
---@field special_ids table<string, integer> "pad", "bos", "eos", "unk" where they exist
---@field identity table<string, string> what beside name, version and options decides the codes
---@field channels? integer of audio
---@field hop_length? integer of audio: samples from the start of a frame to that of the next
---@field code_file_extension? string of the codec's own files, such as ".dac"
local Tokenizer = {}
---@param data string|gamut.Audio
---@return Tensor
function Tokenizer:encode(data) end
-- Codes with fewer rows than `codebooks` are the leading ones.
---@param codes Tensor
---@return string|gamut.Audio
function Tokenizer:decode(codes) end
-- Bytes that predicting each target after each previous id accounts for; text only.
---@param previous Tensor
---@param target Tensor
---@return Tensor
function Tokenizer:byte_counts(previous, target) end
-- For input beyond memory: the codes of all pieces and of finish are those of the whole.
---@return {push: (fun(self, piece: string|gamut.Audio): Tensor), finish: (fun(self): Tensor)}
function Tokenizer:new_encoder() end
-- Audio: codes beyond memory, to float32 [channels, samples] piece by piece.
---@return {push: (fun(self, codes: Tensor): Tensor), finish: (fun(self): Tensor)}
function Tokenizer:new_decoder() end
-- Audio: steps that encode gives for so many samples.
---@param samples integer
---@return integer
function Tokenizer:steps(samples) end
-- Audio: samples that decode gives for so many steps.
---@param steps integer
---@return integer
function Tokenizer:samples(steps) end
-- What a file of the codec's own holds, before it is decoded.
---@param path string
---@return {codes: Tensor, sample_rate: integer, samples: integer, channels: integer, facts: table<string, string>}
function Tokenizer:read_code_file(path) end
-- The audio as the codec's own program decodes the file.
---@param path string
---@return gamut.Audio
function Tokenizer:decode_code_file(path) end
---@param path string
---@param audio gamut.Audio
function Tokenizer:write_code_file(path, audio) end

---@class Tensor
---@field shape integer[] size of every dimension
---@field dtype dtype
---@field device device
---@field layout layout
---@field ndim integer
---@field nbytes integer
---@field itemsize integer
---@field is_leaf boolean
---@field is_cuda boolean
---@field requires_grad boolean
---@field grad Tensor? gradient that x:backward() left
---@field data Tensor the same elements, unknown to autograd
---@field mT Tensor last two dimensions exchanged
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator pow(Tensor|number): Tensor
---@operator mod(Tensor|number): Tensor
---@operator idiv(Tensor|number): Tensor
---@operator unm: Tensor
---@operator len: integer
local Tensor = {}

-- Slices, counting from 0: integers, {start, stop, step}, ":", "...", "new", tensors.
---@param indices indices
---@return Tensor
function Tensor:at(indices) end
---@param indices indices
---@param value Tensor|number|boolean
---@return Tensor
function Tensor:set_at(indices, value) end
---@return number|boolean
function Tensor:item() end
---@return table|number|boolean
function Tensor:tolist() end
---@param gradient? Tensor
---@param options? {retain_graph?: boolean, create_graph?: boolean, inputs?: Tensor[]}
function Tensor:backward(gradient, options) end
---@param dim? integer
---@return integer|integer[]
function Tensor:size(dim) end
---@param dim? integer
---@return integer|integer[]
function Tensor:stride(dim) end
---@return integer
function Tensor:dim() end
---@return integer
function Tensor:numel() end
---@param format? memory_format
---@return boolean
function Tensor:is_contiguous(format) end
---@return boolean
function Tensor:is_floating_point() end
---@return integer
function Tensor:data_ptr() end
-- x:to("cuda"), x:to("bfloat16"), x:to(other), x:to{device =, dtype =, copy =, non_blocking =}.
---@param target string|Tensor|table
---@return Tensor
function Tensor:to(target, ...) end
---@return Tensor
function Tensor:cpu() end
---@return Tensor
function Tensor:cuda() end
---@return Tensor
function Tensor:float() end
---@return Tensor
function Tensor:double() end
---@return Tensor
function Tensor:half() end
---@return Tensor
function Tensor:bfloat16() end
---@return Tensor
function Tensor:long() end
---@return Tensor
function Tensor:int() end
---@return Tensor
function Tensor:bool() end

return gamut, Tensor
