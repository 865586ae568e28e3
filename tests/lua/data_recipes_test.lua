-- Recipes of data sets: tables as text, splits, and what each set lists of a small copy of its layout.

local recipe = require "gamut.data.recipe"
local splits = require "gamut.data.splits"
local system = require "gamut.native.system"
local testing = require "gamut.testing"

local folder = os.tmpname()
os.remove(folder)
local sets = package.searchpath("gamut.data.recipe", package.path):match "^(.*)/[^/]*$" .. "/sets/"

local function write(name, text)
  system.make_directories((folder .. "/" .. name):match "^(.*)/")
  system.write_file(folder .. "/" .. name, text)
  return folder .. "/" .. name
end

local function rows_of(text)
  local rows = {}
  for row in recipe.csv(write("table.csv", text)) do rows[#rows + 1] = table.concat(row, "|") end
  return table.concat(rows, "/")
end

local function names_of(items)
  local names = {}
  for i, item in ipairs(items) do names[i] = item.name end
  return table.concat(names, " ")
end

local function list(set, settings)
  return dofile(sets .. set .. ".lua").items(settings)
end

testing.test("csv: quotes hold commas, line ends and doubled quotes", function()
  testing.equal(rows_of 'a,b\n1,2\n', "a|b/1|2")
  testing.equal(rows_of 'a,"b, ""c""\nd",e\r\n,,\n', 'a|b, "c"\nd|e/||')
  testing.equal(rows_of 'last,"line"', "last|line")
  testing.equal(rows_of '', "")
end)

testing.test("csv: rows longer than a piece of the file", function()
  local long = ("x,\n"):rep(800000)
  testing.equal(#rows_of('1,"' .. long .. '",2\n3,4,5\n'), #long + 4 + 6)
end)

testing.test("csv: a file cut inside of quotes is told", function()
  testing.raises(function() rows_of 'a,"b' end, "ends inside of quotes")
end)

testing.test("lines: byte order mark and ends of Windows", function()
  local lines = {}
  for line in recipe.lines(write("lines.txt", "\xEF\xBB\xBFone\r\n\r\ntwo")) do lines[#lines + 1] = line end
  testing.equal(table.concat(lines, "|"), "one||two")
  testing.equal(table.concat(recipe.split("a||c", "|"), ","), "a,,c")
end)

local SETTINGS = {validation = 0.25, test = 0.25, seed = 3, split_file = ""}

local function with(changes)
  local all = {}
  for key, value in pairs(SETTINGS) do all[key] = value end
  for key, value in pairs(changes) do all[key] = value end
  return all
end

local function many(count, group)
  local items = {}
  for i = 1, count do items[i] = {name = "track " .. i, group = group and group(i)} end
  return items
end

testing.test("splits: shares, and adding items moves no other", function()
  local few, more = splits.assign(many(1000), SETTINGS), splits.assign(many(2000), SETTINGS)
  local counts = {train = 0, val = 0, test = 0}
  for i, item in ipairs(few) do
    testing.equal(item.split, more[i].split)
    counts[item.split] = counts[item.split] + 1
  end
  for split, share in pairs{train = 500, val = 250, test = 250} do
    assert(math.abs(counts[split] - share) < 60, split .. ": " .. counts[split])
  end
end)

testing.test("splits: a group is on one side, and neither side is empty", function()
  local side = {}
  for _, item in ipairs(splits.assign(many(300, function(i) return "album " .. i % 20 end), SETTINGS)) do
    testing.equal(side[item.group] or item.split, item.split)
    side[item.group] = item.split
  end
  for seed = 0, 20 do
    local found = {}
    for _, item in ipairs(splits.assign(many(2), with{validation = 0.01, test = 0.0, seed = seed})) do
      found[item.split] = true
    end
    assert(found.train and found.val, "a side is empty with seed " .. seed)
  end
end)

testing.test("splits: by a file, with names with and without ending", function()
  local file = write("split.csv", "name,split\na.wav,train\nb,valid\n")
  local items = splits.assign({{name = "a.wav"}, {name = "b.wav"}}, with{split_file = file})
  testing.equal(items[1].split .. " " .. items[2].split, "train val")
  write("split.csv", "a.wav,train\nb,both\n")
  testing.raises(function() splits.assign({{name = "a.wav"}}, with{split_file = file}) end,
    "split.csv:2: `b,both` is not")
  write("split.csv", "other\ttrain\n")
  testing.raises(function() splits.assign({{name = "a.wav"}}, with{split_file = file}) end, "names none of the 1 items")
end)

testing.test("splits: a choice is in order, and the same for the same seed", function()
  local chosen = splits.choose(many(50), 10, 1)
  testing.equal(#chosen, 10)
  testing.equal(names_of(chosen), names_of(splits.choose(many(50), 10, 1)))
  assert(names_of(chosen) ~= names_of(splits.choose(many(50), 10, 2)), "the seed has no effect")
end)

testing.test("splits: a shuffled order is the seed's alone, and more items move no other", function()
  local shuffled, others = splits.shuffle(many(50), 1), splits.shuffle(many(60), 1)
  testing.equal(#shuffled, 50)
  assert(names_of(shuffled) ~= names_of(many(50)), "they stand as they were")
  assert(names_of(shuffled) ~= names_of(splits.shuffle(many(50), 2)), "the seed has no effect")
  local known, kept = {}, {}
  for _, item in ipairs(shuffled) do known[item.name] = true end
  for _, item in ipairs(others) do
    if known[item.name] then kept[#kept + 1] = item end
  end
  testing.equal(names_of(kept), names_of(shuffled))
end)

testing.test("text_folder: documents by name, or in a seeded order", function()
  for i = 1, 9 do write(("texts/%d.txt"):format(i), "a text") end
  local source = folder .. "/texts"
  testing.equal(names_of(list("text_folder", {source = source, field = "text", order = "name"})),
    "1.txt 2.txt 3.txt 4.txt 5.txt 6.txt 7.txt 8.txt 9.txt")
  local shuffled = list("text_folder", {source = source, field = "text", order = "shuffled", seed = 5})
  testing.equal(names_of(shuffled), names_of(splits.shuffle(list("text_folder", {source = source, field = "text"}), 5)))
  testing.equal(#shuffled, 9)
  testing.equal(names_of(list("text_folder", {source = source, field = "text", exclude = "2,7.,9.txt,x"})),
    "1.txt 3.txt 4.txt 5.txt 6.txt 8.txt")
  testing.raises(function() recipe.text_files(source, "1,2,3,4,5,6,7,8,9") end, "all 9 documents of .* are excluded")
end)

testing.test("ljspeech: quotes in sentences, both transcripts", function()
  write("lj/metadata.csv", 'LJ001-0001|He said "no, 2|He said "no, two\nLJ002-0001|Only one|\n')
  local items = list("ljspeech", {source = folder .. "/lj", split_by = "book"})
  testing.equal(names_of(items), "LJ001-0001 LJ002-0001")
  testing.equal(items[1].facts.text, 'He said "no, two')
  testing.equal(items[1].facts.written, 'He said "no, 2')
  testing.equal(items[2].facts.text, "Only one")
  testing.equal(items[1].group, "LJ001")
  testing.equal(items[1].path, folder .. "/lj/wavs/LJ001-0001.wav")
  write("lj/metadata.csv", "no bars here\n")
  testing.raises(function() list("ljspeech", {source = folder .. "/lj", split_by = "clip"}) end, "metadata.csv:1")
end)

testing.test("fma: two rows of headings, official split, subset, broken clips", function()
  write("fma/fma_metadata/tracks.csv", ",album,artist,set,set,track\n,id,id,split,subset,title\ntrack_id,,,,,\n"
    .. '2,1,10,training,small,"Food,\n""raw"""\n5,1,10,validation,large,b\n1486,2,11,test,small,c\n'
    .. '7,2,11,training,full,d\n')
  for _, id in ipairs{"000002", "000005", "001486", "000007", "000009"} do
    write(("fma/fma_large/%s/%s.mp3"):format(id:sub(1, 3), id), "")
  end
  local settings = {source = folder .. "/fma", subset = "large", split = "official", split_by = "track", broken = false}
  local items = list("fma", settings)
  testing.equal(names_of(items), "000002 000005")
  testing.equal(items[1].split .. " " .. items[2].split, "train val")
  testing.equal(items[1].path, folder .. "/fma/fma_large/000/000002.mp3")
  settings.broken, settings.subset, settings.split, settings.split_by = true, "small", "seeded", "artist"
  items = list("fma", settings)
  testing.equal(names_of(items), "000002 001486")
  testing.equal(items[1].split, nil)
  testing.equal(items[1].group, "artist/10")
end)

testing.test("debian_speech: transcripts, and sounds that are no speech", function()
  local sounds = "deb/usr/share/asterisk/sounds/en_US_f_Allison/"
  for _, name in ipairs{"added", "beep", "digits/1"} do write(sounds .. name .. ".wav", "") end
  write("deb/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt",
    "; a comment: of theirs\n\nadded: Added.\nbeep: [a beep]\ndigits/1: one: the first\n")
  local settings = {source = folder .. "/deb/", speech_only = false}
  local items = list("debian_speech", settings)
  testing.equal(names_of(items), "added beep digits/1")
  testing.equal(items[1].facts.text, "Added.")
  testing.equal(items[2].facts.text, nil)
  testing.equal(items[2].facts.sound, "a beep")
  testing.equal(items[3].facts.text, "one: the first")
  settings.speech_only = true
  testing.equal(names_of(list("debian_speech", settings)), "added digits/1")
end)

testing.test("debian_music and audio_folder: files by ending, groups by folder", function()
  write("wes/usr/share/games/wesnoth/1.16/data/core/music/battle.ogg", "")
  testing.equal(names_of(list("debian_music", {source = folder .. "/wes"})), "battle")
  write("tree/a/x.MP3", "")
  write("tree/y.flac", "")
  write("tree/notes.txt", "")
  local items = list("audio_folder", {source = folder .. "/tree", split_by = "folder"})
  testing.equal(names_of(items), "a/x.MP3 y.flac")
  testing.equal(items[1].group .. " " .. items[2].group, "a .")
  write("empty/notes.txt", "")
  testing.raises(function() list("audio_folder", {source = folder .. "/empty", split_by = "file"}) end,
    "holds no audio")
end)

os.execute("rm -rf '" .. folder .. "'")
testing.finish()
