-- luacheck settings: Lua 5.4, 120 columns.
std = "lua54"
max_line_length = 120
codes = true
-- Methods are written with a colon whether or not they use self.
self = false
-- A loop often counts only.
ignore = {"213"}
exclude_files = {".gamut", "build", "runs"}
