-- The report of whole, broken and hostile run folders.
local testing = require "gamut.testing"
local json = require "gamut.native.json"
local native = require "gamut.native.report"
local report = require "gamut.report"
local chart = require "gamut.report.chart"
local html = require "gamut.report.html"
local sections = require "gamut.report.sections"
local tables = require "gamut.report.table"
local scale = require "gamut.report.scale"
local format = require "gamut.report.format"
local system = require "gamut.native.system"

local stem, folders = os.tmpname(), 0

local function run_folder(files)
  folders = folders + 1
  local root = stem .. "_runs/" .. folders
  system.make_directories(root .. "/samples")
  for name, text in pairs(files) do
    local file = assert(io.open(root .. "/" .. name, "wb"))
    file:write(text)
    file:close()
  end
  return root
end

local function metrics(steps)
  local lines = {}
  for step = 1, steps do
    local line = '{"step":%d,"time":%d,"tokens":%d,"train_loss":%.3f,"lr":0.001}'
    lines[#lines + 1] = line:format(step, step, step * 64, 4 / step + 1)
  end
  lines[#lines + 1] = ('{"step":%d,"val_loss":1.5,"val_bpb":2.164}'):format(steps)
  lines[#lines + 1] = ('{"step":%d,"event":"skipped","message":"loss <b>nan</b>"}'):format(steps)
  return table.concat(lines, "\n") .. "\n"
end

local function has(page, text)
  if not page:find(text, 1, true) then error(("the page lacks %q"):format(text), 2) end
end

local function lacks(page, text)
  if page:find(text, 1, true) then error(("the page has %q"):format(text), 2) end
end

testing.test("a whole run shows every part", function()
  local root = run_folder{
    ["run.json"] = json.encode{
      study = "tiny", status = "finished", parameters = 1234567,
      describe = "Decoder  1,234,567\n  head: Linear  1,000\ntotal: 1,234,567 parameters",
      git = {revision = "0123456789abcdef", modified = false},
      plugins = {{kind = "mixer", name = "gdn", version = "0.1.0"}},
    },
    ["config.yaml"] = "seed: 7\nmodel: !open\n  width: 64\n",
    ["metrics.jsonl"] = metrics(300),
    ["samples/step_000300.txt"] = "a text sample",
    ["samples/step_000300.wav"] = "RIFFsound",
  }
  testing.equal(report.write(root), root .. "/report.html")
  local page = system.read_file(root .. "/report.html")
  for _, text in ipairs{
    "<title>tiny · Gamut</title>", "finished</span>", "2.164", "1,234,567", "head: Linear", "seed", "width",
    "012345678", "mixer gdn 0.1.0", "a text sample", "Step 300", "loss &lt;b&gt;nan&lt;/b&gt;",
    "data:audio/wav;base64," .. native.base64 "RIFFsound",
    "prefers-color-scheme: dark", 'class="curve c1 noisy"', 'data-series="0"', 'aria-label="Loss by step"',
  } do
    has(page, text)
  end
end)

testing.test("nothing is fetched from anywhere", function()
  local page = report.render(run_folder{["metrics.jsonl"] = metrics(30), ["run.json"] = "{}"})
  local without_svg_name = page:gsub("http://www%.w3%.org/2000/svg", "")
  for _, text in ipairs{"http:", "https:", "<link", "@import", "src=", "url(//"} do lacks(without_svg_name, text) end
end)

testing.test("hostile text stays text", function()
  local attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
  local page = report.render(run_folder{
    ["run.json"] = json.encode{study = attack, status = attack, describe = attack, command = {attack},
      [attack] = attack},
    ["config.yaml"] = attack .. ": " .. attack .. "\n",
    ["metrics.jsonl"] = metrics(3) .. json.encode{step = 3, [attack] = 1.0} .. "\n"
      .. json.encode{step = 3, event = attack, message = attack} .. "\n",
    ["samples/a.txt"] = attack, ['samples/"onload=x.wav'] = attack,
  })
  lacks(page, "<script>alert")
  lacks(page, "<img")
  lacks(page, '"onload=x.wav"')
end)

testing.test("bytes that are no UTF-8, and control characters, are shown", function()
  testing.equal(html.escape "a\xffb", "a\u{FFFD}b")
  testing.equal(html.escape "\0x\27[0m\ty\n\r", "\u{2400}x\u{241B}[0m\ty\n")
  testing.equal(html.escape "ü€𝄞 & <>\"'", "ü€𝄞 &amp; &lt;&gt;&quot;&#39;")
  local page = report.render(run_folder{["run.json"] = "{}", ["samples/step_1.txt"] = "\xc3(\xf0\x9f"})
  testing.is_true(utf8.len(page))
end)

testing.test("a crashed run is still reported", function()
  local torn = report.render(run_folder{
    ["run.json"] = '{"study": "x', ["metrics.jsonl"] = metrics(5) .. '{"step":6,"tr',
  })
  has(torn, "cannot be read")
  has(torn, "left out: 1")
  has(report.render(run_folder{["run.json"] = '{"study":"early"}'}), "<h1>early</h1>")
  has(report.render(run_folder{["metrics.jsonl"] = '{"step":1,"train_loss":"nan"}\n'}), 'aria-label="Loss by step"')
  testing.raises(function() report.write "/nowhere" end, "/nowhere is not a run folder")
end)

testing.test("a comparison shows results, differing settings and common curves", function()
  local function variant(lr)
    return run_folder{
      ["run.json"] = '{"steps":3}', ["config.yaml"] = ("lr: %s\nseed: 1\n"):format(lr), ["metrics.jsonl"] = metrics(3),
    }
  end
  local output, printed, print_before = variant "0.5" .. "/compare.html", {}, print
  print = function(text) printed[#printed + 1] = text end -- luacheck: ignore
  local good, message = pcall(require "gamut.report.compare", output, variant "0.1", variant "0.2")
  print = print_before -- luacheck: ignore
  testing.is_true(good, message)
  local text = table.concat(printed, "\n")
  has(text, "validation loss")
  testing.is_true(text:find "lr +0%.1 +0%.2", text)
  lacks(text, "seed")
  testing.is_true(text:find "steps taken +3 +3", text) -- "steps" alone may be a setting
  local page = system.read_file(output)
  for _, part in ipairs{
    "2 runs compared", "Settings that differ", 'aria-label="Training loss by step"', 'class="curve c2"',
  } do
    has(page, part)
  end
end)

local function figure(options)
  options.title, options.id = "Loss", 1
  return tostring(chart.figure(options))
end

testing.test("a chart by time is in the unit of its length", function()
  for longest, label in pairs{[50] = "40 s", [600] = "10 min", [20000] = "5 h"} do
    local page = figure{x = "time", series = {{label = "a", step = {0, longest}, value = {2, 1}}}}
    has(page, 'aria-label="Loss by time"')
    has(page, "<b>Loss by time</b>")
    has(page, ">" .. label .. "</text>")
    has(page, ">0</text>")
  end
  local page = figure{x = "time", series = {{label = "a", step = {0, 300}, value = {2, 1}}}}
  has(page, '"axis":"time","unit":" min"')
  has(page, '"x":[0,5]') -- the read-out is in minutes too
  has(figure{series = {{label = "a", step = {0, 300}, value = {2, 1}}}}, '"axis":"step","unit":""')
end)

testing.test("a reference is dashed, and curves of one key share a legend entry", function()
  local function series(label, key, dashed)
    return {label = label, key = key, color = 2, dashed = dashed, step = {1, 2, 3}, value = {3, 2, 1}}
  end
  local page = figure{series = {
    series("hybrid 1", "hybrid"), series("hybrid 2", "hybrid"), series("hybrid 3", "published", true),
  }}
  local function count(text) return select(2, page:gsub(text, "")) end
  testing.equal(count '<span class="key">', 2)
  has(page, '<i class="c2 dashed"></i>published')
  testing.equal(count 'class="curve c2 dashed"', 1)
  testing.equal(count "<circle", 6) -- points of the two that are no reference
  has(page, '"name":"hybrid 2"') -- the read-out tells them apart
end)

testing.test("the start can be left out of the range of y", function()
  local xs, ys = {}, {}
  for i = 0, 10 do xs[i + 1], ys[i + 1] = i * 50, i < 2 and 4 or 2 - i / 10 end
  local function highest(options)
    options.series = {{label = "a", step = xs, value = ys}, {label = "early", step = {1, 2}, value = {9, 9}}}
    return tonumber(figure(options):match '"y1":([%d.]+)')
  end
  testing.is_true(highest{} > 9)
  testing.is_true(highest{settled = 0.15} < 2) -- the second curve ends before, and has no say
  local early = figure{settled = 0.9, series = {{label = "a", step = {0, 1}, value = {5, 0 / 0}}}}
  has(early, '"y1":') -- nothing is left to go by, and it is drawn all the same
end)

local SMALL = {
  columns = {{"model"}, {"ours", group = "bits", number = true}, {"theirs", group = "bits", number = true}},
  rows = {{"a|b", "1.5", "2.25"}, {"<b>", nil, "± 3", class = "first", links = {"b/report.html"}}},
}

testing.test("a table is the same on the page, in Markdown and on the terminal", function()
  testing.equal(tables.text(SMALL), table.concat({
    "       bits", "model  ours  theirs", "a|b     1.5    2.25", "<b>       –     ± 3", "",
  }, "\n"))
  testing.equal(tables.markdown(SMALL), table.concat({
    "| model | bits, ours | bits, theirs |", "| --- | ---: | ---: |", "| a\\|b | 1.5 | 2.25 |",
    "| <b> | – | ± 3 |", "",
  }, "\n"))
  local page = tostring(tables.html(SMALL))
  for _, text in ipairs{
    '<th class="group" colspan="2">bits</th>', '<td class="number">1.5</td>', '<tr class="first">',
    '<a href="b/report.html">&lt;b&gt;</a>', '<td class="number">–</td>',
  } do
    has(page, text)
  end
end)

testing.test("charts stand in groups, under one slider", function()
  local one = chart.figure{title = "Loss", id = 1, series = {{label = "a", step = {1, 2}, value = {2, 1}}}}
  local groups = {{title = "Short & long", figures = {one}}, {title = "B", figures = {one}}}
  local page = tostring(sections.figure_groups(groups))
  has(page, "<h3>Short &amp; long</h3>")
  has(page, "<h3>B</h3>")
  testing.equal(select(2, page:gsub('id="smoothing"', "")), 1)
end)

testing.test("long curves are thinned but keep their spikes", function()
  local series = {step = {}, value = {}}
  for i = 1, 100000 do series.step[i], series.value[i] = i, i == 54321 and 99 or i % 7 end
  local thin = scale.thin(series, 1000)
  testing.is_true(#thin.step <= 1000)
  testing.is_true(math.max(table.unpack(thin.value)) == 99)
  for i = 2, #thin.step do testing.is_true(thin.step[i] > thin.step[i - 1]) end
end)

testing.test("ticks are round, few and inside", function()
  for _, range in ipairs{{0, 1}, {1.34, 6.1}, {-3, 3}, {0, 0.00012}, {999, 1003}, {0, 1.2e6}, {1, 2}} do
    local ticks = scale.ticks(range[1], range[2], 6)
    testing.is_true(#ticks >= 3 and #ticks <= 7, ("%d ticks"):format(#ticks))
    for i, tick in ipairs(ticks) do
      testing.is_true(tick.value >= range[1] - 1e-12 and tick.value <= range[2] + 1e-6)
      testing.is_true(i == 1 or tick.label ~= ticks[i - 1].label, tick.label)
    end
  end
end)

testing.test("smoothing has no pull at its start and keeps gaps", function()
  local smooth = scale.smooth({2.0, 2.0, 0 / 0, 2.0}, 0.9)
  testing.close(smooth[1], 2.0, 1e-12)
  testing.is_true(smooth[3] ~= smooth[3])
  testing.close(smooth[4], 2.0, 1e-12)
end)

testing.test("ranges cut a start far above the rest", function()
  local values = {}
  for i = 1, 1000 do values[i] = i <= 10 and 100.0 or 2.0 + i % 10 / 10 end
  local low, high = scale.range{values}
  testing.is_true(low < 2 and low > 1.5 and high > 2.9 and high < 4, ("%g %g"):format(low, high))
  low, high = scale.range{{0 / 0, 5.0}}
  testing.is_true(low < 5 and high > 5)
end)

testing.test("numbers read well", function()
  testing.equal(format.count(1234567), "1,234,567")
  testing.equal(format.short(4915200), "4.92M")
  testing.equal(format.metric(2.0751234), "2.0751")
  testing.equal(format.metric(0.5), "0.5")
  testing.equal(format.metric(0 / 0), "nan")
  testing.equal(format.duration(396.1), "6 min 36 s")
end)

testing.test("base64 matches the published vectors", function()
  local vectors = {[""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", ["\xff\xfe\xfd"] = "//79"}
  for text, expected in pairs(vectors) do
    testing.equal(native.base64(text), expected)
  end
end)

os.remove(stem)
os.execute("rm -r '" .. stem .. "_runs'")
testing.finish()
