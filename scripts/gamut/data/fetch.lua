-- `gamut data fetch`: finds the source of a data set, checks what was asked for, and fetches its files.
--
-- A source is a file of the folder sources/ and returns a table: `doc`, `home` (the URL that paths are
-- below), `options` (name -> {default, doc}), `next` (what to do with the files), and either `list(options,
-- get)`, which returns files, or `run(options, folder)`, which brings them by other means. `get(files)`
-- fetches some at once, for a list that depends on them, and returns the folder. A file: {path = below
-- home, name = below the folder, bytes =, about = a guess of them, digest = "sha256:...", unpack = true,
-- unpacked_bytes =}.

local gamut = require "gamut"
local maps = require "gamut.maps"
local native = require "gamut.native.fetch"
local nearest = require("gamut.native.tensor").nearest
local system = require "gamut.native.system"

local SOURCES = {"debian_music", "debian_speech", "fineweb_sp1024", "fma_large", "ljspeech"}

-- Settings that every source has; those of a URL that is given instead of a name.
local COMMON = {
  out = {doc = "the folder to fetch into; it is made where it is not there"},
  mirror = {doc = "a URL to take in place of the public home"},
  retries = {default = 6, doc = "attempts in a row that bring nothing new before it gives up"},
  wait = {default = 1.0, doc = "seconds before the first retry; doubled for each further one"},
  keep_archives = {default = true, doc = "false: remove archives once they are unpacked"},
}
local OF_URL = {
  name = {default = "", doc = "the name of the file; by default the last part of the URL"},
  digest = {default = "", doc = "its checksum: sha256:..., sha1:... or md5:..."},
  unpack = {default = false, doc = "true: unpack it (zip, tar.gz, tar.bz2, ...)"},
}

-- --- What was asked for -------------------------------------------------------------------------

local function fail(message, ...) error(message:format(...), 0) end

local function did_you_mean(names, name)
  local near = nearest(names, name)
  return #near > 0 and ("; did you mean `%s`?"):format(near[1]) or ("; there are %s"):format(table.concat(names, ", "))
end

-- The value of `name=text` in the type of its default.
local function convert(name, text, default)
  if type(default) == "boolean" then
    if text == "true" or text == "false" then return text == "true" end
    fail("%s must be true or false, not `%s`", name, text)
  elseif type(default) == "number" then
    local number = math.type(default) == "integer" and math.tointeger(tonumber(text)) or
      math.type(default) == "float" and tonumber(text)
    if not number or number < 0 then
      fail("%s must be a %snumber from 0, not `%s`", name, math.type(default) == "integer" and "whole " or "", text)
    end
    return number
  end
  return text
end

local function read_settings(who, words, known)
  local settings = {}
  for name, option in pairs(known) do settings[name] = option.default end
  for _, word in ipairs(words) do
    local name, text = word:match "^([^=]+)=(.*)$"
    if not name then fail("`%s` is not of the form key=value", word) end
    if not known[name] then fail("%s has no setting `%s`%s", who, name, did_you_mean(maps.keys(known), name)) end
    settings[name] = convert(name, text, known[name].default)
  end
  if not settings.out or settings.out == "" then
    fail("where to? Name a folder: gamut data fetch %s out=FOLDER", who)
  end
  return settings
end

local function source_of(name)
  for _, known in ipairs(SOURCES) do
    if known == name then return require("gamut.data.sources." .. name) end
  end
  fail("there is no source `%s`%s, or a URL that begins with http:// or https://", name, did_you_mean(SOURCES, name))
end

-- A source of one file.
local function source_of_url(url)
  local home, last = url:match "^(https?://.*)/([^/?#]+)[^/]*$"
  return {
    doc = url, home = home, options = OF_URL,
    list = function(options)
      local name = options.name ~= "" and options.name or last
      if not name or not home then fail("%s has no file name in it: say name=...", url) end
      return {{path = url:sub(#home + 2), name = name, digest = options.digest, unpack = options.unpack}}
    end,
  }
end

-- What comes by other means has no transfers to set.
local function known_settings(source)
  local known = maps.over(COMMON, source.options)
  if source.run then known.mirror, known.retries, known.wait, known.keep_archives = nil, nil, nil, nil end
  return known
end

local function help(name)
  local function print_options(options)
    for _, key in ipairs(maps.keys(options)) do
      local default = options[key].default
      print(("  %-14s %s%s"):format(key, options[key].doc,
        (default == nil or default == "") and "" or (" (default %s)"):format(default)))
    end
  end
  if name then
    local source = name:find "^https?://" and source_of_url(name) or source_of(name)
    print(("gamut data fetch %s out=FOLDER [key=value...]\n\n%s\n"):format(name, source.doc))
    return print_options(known_settings(source))
  end
  print "gamut data fetch SOURCE|URL out=FOLDER [key=value...]\n"
  for _, known in ipairs(SOURCES) do print(("  %-15s %s"):format(known, source_of(known).doc)) end
  print "  URL             one file, http or https\n"
  print_options(COMMON)
  print "\nA source's own settings: gamut data fetch SOURCE --help"
end

-- --- Progress -----------------------------------------------------------------------------------

local function bytes_text(bytes)
  for _, unit in ipairs{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} do
    if bytes >= unit[1] then return ("%.1f %s"):format(bytes / unit[1], unit[2]) end
  end
  return ("%d bytes"):format(bytes)
end

local function time_text(seconds)
  if seconds >= 5400 then return ("%.1f h"):format(seconds / 3600) end
  if seconds >= 90 then return ("%.0f min"):format(seconds / 60) end
  return ("%.0f s"):format(seconds)
end

local Progress = {}
Progress.__index = Progress

local function new_progress()
  local on_terminal = native.is_terminal()
  return setmetatable({began = system.monotonic(), shown = -math.huge, line = false, on_terminal = on_terminal,
    pause = on_terminal and 0.2 or 10}, Progress)
end

local function describe(state, seconds)
  local parts = {("%s %s"):format(state.what, state.name)}
  if state.bytes > 0 then
    parts[#parts + 1] = ("%s of %s, %.0f %%"):format(bytes_text(state.bytes_done), bytes_text(state.bytes),
      math.min(100, 100 * state.bytes_done / state.bytes))
  else
    parts[#parts + 1] = bytes_text(state.bytes_done)
  end
  local rate = state.bytes_fetched / math.max(seconds, 1e-3)
  if state.what == "fetching" and rate > 0 then
    parts[#parts + 1] = bytes_text(rate) .. "/s"
    if state.bytes > 0 then parts[#parts + 1] = time_text((state.bytes - state.bytes_done) / rate) .. " left" end
  end
  if state.files > 1 then
    parts[#parts + 1] = ("file %d of %d"):format(math.min(state.files_done + 1, state.files), state.files)
  end
  return table.concat(parts, ", ")
end

function Progress:show(state)
  local now = system.monotonic()
  if now - self.began < 1 or now - self.shown < self.pause then return end
  self.shown = now
  local text = describe(state, now - self.began)
  if self.on_terminal then
    io.stderr:write("\r\27[K", text)
    self.line = true
  else
    io.stderr:write(text, "\n")
  end
end

function Progress:note(text)
  if self.line then io.stderr:write "\r\27[K" end
  self.line = false
  io.stderr:write("gamut: ", text, "\n")
end

function Progress:finish()
  if self.line then io.stderr:write "\r\27[K" end
  self.line = false
end

-- --- Fetching -----------------------------------------------------------------------------------

local function with_urls(files, home)
  local list = {}
  for i, file in ipairs(files) do
    list[i] = {url = home:gsub("/+$", "") .. "/" .. file.path, name = file.name, bytes = file.bytes, about = file.about,
      digest = file.digest ~= "" and file.digest or nil, unpack = file.unpack, unpacked_bytes = file.unpacked_bytes}
  end
  return list
end

local function fetch(source, settings)
  if source.run then return source.run(settings, settings.out) end
  local progress <close> = setmetatable(new_progress(), {__index = Progress, __close = Progress.finish})
  local home = settings.mirror ~= "" and settings.mirror or source.home
  local function get(files)
    return native.files{
      folder = settings.out, files = with_urls(files, home), retries = settings.retries, wait = settings.wait,
      keep_archives = settings.keep_archives, progress = function(state) progress:show(state) end,
      note = function(text) progress:note(text) end,
    }
  end
  local records = get(source.list(settings, function(files)
    get(files)
    return settings.out
  end))
  local bytes, files, unchecked = 0, 0, 0
  for _, record in pairs(records) do
    bytes, files = bytes + record.bytes, files + 1
    if not record.pinned then unchecked = unchecked + 1 end
  end
  progress:finish()
  print(("%d %s, %s, in %s%s"):format(files, files == 1 and "file" or "files", bytes_text(bytes), settings.out,
    unchecked > 0 and ("; of %d no checksum is published, theirs are in .fetch.json"):format(unchecked) or ""))
end

---@param how "run"|"help"
---@param name? string a source, or a URL
return function(how, name, ...)
  if how == "help" or not name then
    help(name)
    if how ~= "help" then fail "which data set? Name one of these" end
    return
  end
  local words = {...}
  local source = name:find "^https?://" and source_of_url(name) or source_of(name)
  local settings = read_settings(name, words, known_settings(source))
  if settings.mirror == nil then settings.mirror = "" end
  fetch(source, settings)
  if gamut.interrupted() then fail "interrupted" end
  if source.next then print((source.next:gsub("OUT", function() return settings.out end))) end
end
