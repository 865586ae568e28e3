-- What recipes of data sets are written with: files of a folder, tables as text.

local glob = require "gamut.native.data".glob
local native = require "gamut.native.prepare"
local strict = require "gamut.strict"

local recipe = strict("gamut.data.recipe", {
  -- What libsndfile reads.
  audio_endings = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au",
    ".snd", ".caf", ".w64"},
  -- What documents come from: a file each, lines of JSON, rows of Parquet.
  text_endings = {".txt", ".md", ".rst", ".pod", ".txt.gz", ".md.gz", ".rst.gz", ".pod.gz", ".jsonl", ".ndjson",
    ".jsonl.gz", ".ndjson.gz", ".parquet"},
  ---Ranges of documents of files, for a recipe of the kind "text": {files = {{path =, name =}, ...},
  ---field =, validation_documents =}. The first `validation_documents` are for validation.
  ---@type fun(options: table): table[]
  text_units = native.text_units,
  ---Names (with `/`) of the files below a folder that end in one of `endings`, sorted. Hidden ones are
  ---passed over.
  ---@type fun(folder: string, endings: string[]): string[]
  walk = native.walk,
  ---Where a name stands in [0, 1): the same for the same name and seed, whatever else there is.
  ---@type fun(name: string, seed?: integer): number
  position = native.split_position,
})

local function open(path)
  local file, reason = io.open(path, "rb")
  if not file then error("cannot open " .. reason, 0) end
  return file
end

---The audio files below a folder.
---@param folder string
---@return string[]
function recipe.audio_files(folder)
  local names = native.walk(folder, recipe.audio_endings)
  if #names == 0 then
    error(("the folder %s holds no audio: files that end in %s"):format(folder,
      table.concat(recipe.audio_endings, ", ")), 0)
  end
  return names
end

local function begins_with_one(name, beginnings)
  for beginning in beginnings:gmatch "[^,]+" do
    if name:sub(1, #beginning) == beginning then return true end
  end
  return false
end

---A file of text, JSON lines or Parquet, or those below a folder, in the order of their names.
---@param source string
---@param exclude? string of a folder: names that begin so are left out, such as "drafts/"; several with commas between
---@return {path: string, name: string}[]
function recipe.text_files(source, exclude)
  local folder <close> = io.open(source .. "/.", "rb") -- fails where it is none
  if not folder then
    open(source):close()
    return {{path = source, name = source:match "[^/]*$"}}
  end
  local names = native.walk(source, recipe.text_endings)
  if #names == 0 then
    error(("the folder %s holds no documents: files that end in %s"):format(source,
      table.concat(recipe.text_endings, ", ")), 0)
  end
  local files = {}
  for _, name in ipairs(names) do
    if not begins_with_one(name, exclude or "") then files[#files + 1] = {path = source .. "/" .. name, name = name} end
  end
  if #files == 0 then
    error(("all %d documents of %s are excluded: their names begin with %s"):format(#names, source, exclude), 0)
  end
  return files
end

---The first file or folder that one of the patterns (with `*`) finds. An error names all of them.
---@param what string for the error
---@param patterns string[]
---@return string
function recipe.find(what, patterns)
  for _, pattern in ipairs(patterns) do
    local found = glob(pattern)
    if #found > 0 then return found[#found] end
  end
  error(("there is no %s; looked for %s"):format(what, table.concat(patterns, ", ")), 0)
end

---Lines of a text file, plain or gzip, without their ends, of Windows too.
---@param path string
---@return fun(): string?, integer? line, number
function recipe.lines(path)
  local text = native.read_text(path):gsub("^\xEF\xBB\xBF", "")
  local from, number = 1, 0
  return function()
    if from > #text then return nil end
    local stop = text:find("\n", from, true) or #text + 1
    local line = text:sub(from, stop - 1):gsub("\r$", "")
    from, number = stop + 1, number + 1
    return line, number
  end
end

---Fields of one line that are separated by a character, without any quoting.
---@param line string
---@param separator string one character
---@return string[]
function recipe.split(line, separator)
  local fields = {}
  local from = 1
  while true do
    local at = line:find(separator, from, true)
    fields[#fields + 1] = line:sub(from, at and at - 1)
    if not at then return fields end
    from = at + 1
  end
end

-- The field at `from`: its text, where the next one or the row's end is, and whether the row ends.
-- Nothing when the text ends inside of the field.
local function csv_field(text, from, at_end)
  if text:byte(from) ~= 34 then
    local stop = text:find("[,\n]", from)
    if not stop then
      if not at_end then return nil end
      stop = #text + 1
    end
    local field = text:sub(from, stop - 1)
    local ends = text:byte(stop) ~= 44
    if ends then field = field:gsub("\r$", "") end
    return field, stop + 1, ends
  end
  local position = from + 1
  while true do
    local quote = text:find('"', position, true)
    if not quote or (quote == #text and not at_end) then return nil end
    if text:byte(quote + 1) ~= 34 then
      local field = text:sub(from + 1, quote - 1):gsub('""', '"')
      local stop = text:find("[,\n]", quote + 1)
      if not stop and not at_end then return nil end
      stop = stop or #text + 1
      return field, stop + 1, text:byte(stop) ~= 44
    end
    position = quote + 2
  end
end

local function csv_row(text, from, at_end)
  local fields = {}
  while true do
    local field, next_from, ends = csv_field(text, from, at_end)
    if not field then return nil end
    fields[#fields + 1] = field
    from = next_from
    if ends then return fields, from end
  end
end

---Rows of a CSV file (RFC 4180): fields in quotes may hold commas, line ends and doubled quotes. The
---file is read in pieces, so it may be large.
---@param path string
---@return fun(): string[]? the fields of the next row
function recipe.csv(path)
  local file <const> = open(path)
  local text, from, at_end = "", 1, false
  return function()
    while true do
      if from <= #text then
        local fields, next_from = csv_row(text, from, at_end)
        if fields then
          from = next_from
          return fields
        end
        if at_end then
          error(("%s ends inside of quotes; it may be cut short"):format(path), 0)
        end
      elseif at_end then
        return nil
      end
      local piece = file:read(1 << 20)
      text = text:sub(from) .. (piece or "")
      from = 1
      if not piece then
        at_end = true
        file:close()
      end
    end
  end
end

return recipe
