-- Text documents to token sets: tokenized once, kept in a cache folder, used again.

local gamut = require "gamut"
local check = require "gamut.options"
local native = require "gamut.native.data"
local system = require "gamut.native.system"

local corpus = {}

-- English text that Debian packages install. A pattern names a file that only the whole documentation
-- has, and the folder is what `match` leaves of it.
local DEFAULTS = {
  ["perl-doc"] = {pattern = "/usr/share/perl/5.*/pod/perlfunc.pod", folder = "^(.*)/[^/]*$"},
  ["linux-doc"] = {pattern = "/usr/share/doc/linux-doc-*/Documentation/index.rst.gz", folder = "^(.*)/[^/]*$"},
}

---A folder of English text to train on when none is named: the documentation of perl-doc (8 MB) or
---linux-doc (34 MB), of the first package that is installed.
---@param packages? ("perl-doc"|"linux-doc")[] which, in which order; default: perl-doc, linux-doc
---@return string folder
---@return string package
function corpus.default_text(packages)
  packages = packages or {"perl-doc", "linux-doc"}
  for _, package in ipairs(packages) do
    local default = DEFAULTS[package]
    if not default then
      error(("data.default_text knows perl-doc and linux-doc, not %s"):format(tostring(package)), 2)
    end
    local found = native.glob(default.pattern)
    if #found > 0 then return found[1]:match(default.folder), package end
  end
  error(("there is no text to train on: install Debian's %s, or name a file or folder of text (data=PATH, text=PATH)")
    :format(table.concat(packages, " or ")), 0)
end

---@return string
local function default_cache()
  local base = os.getenv "XDG_CACHE_HOME"
  if base and base ~= "" then return base .. "/gamut/data" end
  local home = os.getenv "HOME"
  return home and home ~= "" and home .. "/.cache/gamut/data" or ".gamut/data"
end

-- Says how far it is, once it has taken two seconds and every two after.
local function progress_line(path)
  local began = system.monotonic()
  local last = began
  return function(done, all, bytes)
    if gamut.interrupted() then error("interrupted while preparing " .. path, 0) end
    local now = system.monotonic()
    if now - last < 2 then return end
    last = now
    io.stderr:write(("preparing %s: %d of %d documents, %.1f MB of text, %.0f s\n")
      :format(path, done, all, bytes / 1e6, now - began))
  end
end

local function report(made, path)
  local manifest = made.manifest
  for i, reason in ipairs(manifest.skipped) do
    if i > 5 then
      io.stderr:write(("skipped %d more files that are no text\n"):format(#manifest.skipped - 5))
      break
    end
    io.stderr:write(("skipped: %s\n"):format(reason))
  end
  local held = manifest.held_out
  io.stderr:write(("prepared %s: %d documents, %d tokens%s\n"):format(path,
    manifest.train.documents + (held and held.documents or 0), manifest.train.tokens,
    held and (" to train on, %d held out"):format(held.tokens) or ""))
end

---@class gamut.data.Corpus
---@field train gamut.data.TokenSet
---@field val gamut.data.TokenSet? absent with validation = 0
---@field manifest table what manifest.json beside the shards holds
---@field reused boolean whether the shards were there already

---Token sets from a text file or from the documents (.txt, .md, .rst, .pod, also .gz) under a folder.
---A document is BOS and its tokens. Held out are whole documents, chosen by a hash of their name and
---the seed; of a single file, its end.
---@param options {path: string, tokenizer: gamut.Tokenizer, cache?: string, validation?: number, seed?: integer}
---@return gamut.data.Corpus
function corpus.text_corpus(options)
  check("data.text_corpus", options, {
    path = "string", tokenizer = "any", cache = "string?", validation = "number?",
    seed = "integer?",
  })
  local path, tokenizer = options.path, options.tokenizer
  if type(tokenizer) ~= "userdata" then
    error(("data.text_corpus: `tokenizer` must be one, such as gamut.tokenizer \"bytes\", not a %s")
      :format(type(tokenizer)), 2)
  end
  local made = native.corpus{
    path = path, cache = options.cache or default_cache(), tokenizer = tokenizer,
    validation = options.validation, seed = options.seed, progress = progress_line(path),
  }
  if not made.reused then report(made, path) end
  return {
    train = native.token_set(made.train, tokenizer.vocab_size),
    val = #made.validation > 0 and native.token_set(made.validation, tokenizer.vocab_size) or nil,
    manifest = made.manifest, reused = made.reused,
  }
end

return corpus
