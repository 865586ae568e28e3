-- The Free Music Archive data set: clips of 30 seconds with their metadata.

local recipe = require "gamut.data.recipe"

-- Clips that are empty or much too short, as the data set's errata list them.
local BROKEN = {
  1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571, 99134,
  105247, 108924, 108925, 126981, 127336, 133297, 143992,
}
local SUBSETS = {small = 1, medium = 2, large = 3, full = 4}
local SPLITS = {training = "train", validation = "val", test = "test"}

-- Where `group.field` stands in tracks.csv, which has two rows of headings and a third with the name
-- of the first column.
local function columns_of(next_row, path)
  local groups, fields = next_row(), next_row()
  next_row()
  local columns = {}
  for i = 2, groups and fields and #fields or 0 do columns[groups[i] .. "." .. fields[i]] = i end
  for _, name in ipairs{"set.split", "set.subset", "artist.id", "album.id"} do
    if not columns[name] then
      error(("%s has no column %s; is it tracks.csv of fma_metadata?"):format(path, name), 0)
    end
  end
  return columns
end

-- {[track] = {split =, subset =, artist =, album =}}
local function read_tracks(path)
  local next_row = recipe.csv(path)
  local columns = columns_of(next_row, path)
  local tracks = {}
  for row in next_row do
    local id = math.tointeger(tonumber(row[1]))
    if id then
      tracks[id] = {
        split = SPLITS[row[columns["set.split"]]], subset = row[columns["set.subset"]],
        artist = row[columns["artist.id"]], album = row[columns["album.id"]],
      }
    end
  end
  return tracks
end

local function item_of(settings, folder, name, id, track)
  local group = settings.split_by == "artist" and "artist/" .. track.artist
    or settings.split_by == "album" and "album/" .. track.album or nil
  return {
    name = ("%06d"):format(id), path = folder .. "/" .. name, group = group,
    split = settings.split == "official" and track.split or nil,
    facts = {artist = track.artist, album = track.album},
  }
end

return {
  doc = "FMA (large by default): 106,574 clips of music, 30 s each, with the official split",
  kind = "audio",
  options = {
    {"source", "string", doc = "the folder that holds fma_large (or fma_small, fma_medium, fma_full) and fma_metadata"},
    {"subset", "string", default = "large", choices = {"small", "medium", "large", "full"},
      doc = "tracks of this subset and of those inside of it"},
    {"split", "string", default = "official", choices = {"official", "seeded"},
      doc = "official: 80/10/10, no artist on two sides; seeded: by validation, test and seed"},
    {"split_by", "string", default = "track", choices = {"track", "album", "artist"},
      doc = "what is never on both sides of the seeded split"},
    {"broken", "boolean", default = false, doc = "also take the clips that are known to be empty or cut short"},
  },
  items = function(settings)
    local source = settings.source
    local folder = recipe.find("folder of clips", {("%s/fma_%s"):format(source, settings.subset),
      source .. "/fma_large"})
    local tracks = read_tracks(recipe.find("metadata", {source .. "/fma_metadata/tracks.csv"}))
    local is_broken = {}
    for _, id in ipairs(settings.broken and {} or BROKEN) do is_broken[id] = true end
    local items, unknown = {}, 0
    for _, name in ipairs(recipe.walk(folder, {".mp3"})) do
      local id = math.tointeger(tonumber(name:match "^%d%d%d/(%d%d%d%d%d%d)%.mp3$"))
      local track = id and tracks[id]
      if not track then
        unknown = unknown + 1
      elseif not is_broken[id] and (SUBSETS[track.subset] or 4) <= SUBSETS[settings.subset] then
        items[#items + 1] = item_of(settings, folder, name, id, track)
      end
    end
    if unknown > 0 then
      io.stderr:write(("gamut: %d files of %s are in no row of tracks.csv and are left out\n"):format(unknown, folder))
    end
    return items
  end,
}
