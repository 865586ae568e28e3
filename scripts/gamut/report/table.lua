-- One table in three dresses: for a page, as Markdown, and on the terminal.
--
--   {columns = {{"model"}, {"ours", group = "bits per byte", number = true}, …}, rows = {{"hybrid", "1.3810"}, …}}
--
-- A cell is text or nil, which shows as a dash. Neighbouring columns of one group share a heading; `number` columns are
-- aligned to the right. A row may have a `class` for the page.

local html = require "gamut.report.html"
local text_table = require "gamut.report.text_table"

local tag = html.tag
local tables = {}

local NOTHING = "–"

local function text_of(cell)
  return cell == nil and NOTHING or tostring(cell)
end

local function has_groups(columns)
  for _, column in ipairs(columns) do
    if column.group then return true end
  end
  return false
end

-- {{title =, count =}, …} over the columns; a column without a group is one of its own.
local function groups_of(columns)
  local groups = {}
  for i, column in ipairs(columns) do
    if column.group and i > 1 and columns[i - 1].group == column.group then
      groups[#groups].count = groups[#groups].count + 1
    else
      groups[#groups + 1] = {title = column.group or "", count = 1}
    end
  end
  return groups
end

local function class_of(column)
  return column.number and "number"
end

local function head_rows(one)
  local rows, titles = {}, {}
  if has_groups(one.columns) then
    local cells = {}
    for i, group in ipairs(groups_of(one.columns)) do
      cells[i] = tag("th", {colspan = group.count, class = group.title ~= "" and "group"}, group.title)
    end
    rows[1] = tag("tr", nil, cells)
  end
  for i, column in ipairs(one.columns) do titles[i] = tag("th", {class = class_of(column)}, column[1]) end
  rows[#rows + 1] = tag("tr", nil, titles)
  return rows
end

-- As an element of a page.
function tables.html(one)
  local body = {}
  for i, row in ipairs(one.rows) do
    local cells = {}
    for k, column in ipairs(one.columns) do
      local link = row.links and row.links[k]
      local text = text_of(row[k])
      cells[k] = tag("td", {class = class_of(column)}, link and tag("a", {href = link}, text) or text)
    end
    body[i] = tag("tr", {class = row.class or false}, cells)
  end
  return tag("table", {class = "results"}, tag("thead", nil, head_rows(one)), tag("tbody", nil, body))
end

local function markdown_line(cells)
  return "| " .. table.concat(cells, " | ") .. " |"
end

-- As Markdown; a group stands in each of its columns' titles.
function tables.markdown(one)
  local titles, rules, lines = {}, {}, {}
  for i, column in ipairs(one.columns) do
    titles[i] = column.group and column.group .. ", " .. column[1] or column[1]
    rules[i] = column.number and "---:" or "---"
  end
  lines[1], lines[2] = markdown_line(titles), markdown_line(rules)
  for _, row in ipairs(one.rows) do
    local cells = {}
    for k = 1, #one.columns do cells[k] = text_of(row[k]):gsub("[|\n]", {["|"] = "\\|", ["\n"] = " "}) end
    lines[#lines + 1] = markdown_line(cells)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- For the terminal; a group's heading stands over its first column.
function tables.text(one)
  local rows, right, groups, titles = {}, {}, {}, {}
  for i, column in ipairs(one.columns) do
    local first = column.group and (i == 1 or one.columns[i - 1].group ~= column.group)
    titles[i], groups[i], right[i] = column[1], first and column.group or "", column.number
  end
  rows[1] = has_groups(one.columns) and groups or nil
  rows[#rows + 1] = titles
  for _, row in ipairs(one.rows) do
    local cells = {}
    for k = 1, #one.columns do cells[k] = text_of(row[k]) end
    rows[#rows + 1] = cells
  end
  return table.concat(text_table(rows, {right = right}), "\n") .. "\n"
end

return tables
