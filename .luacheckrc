-- luacheck settings: Lua 5.4.
std = "lua54"
max_line_length = 120
max_comment_line_length = false -- an annotation stays on one line
codes = true
-- Methods are written with a colon whether or not they use self.
self = false
ignore = {
  "213", -- a loop often counts only
  "581", -- `not (x <= y)` is meant where NaN must count as a failure
}
exclude_files = {".gamut", "build", "runs"}
-- Names that do not exist are what it tests.
files["tests/lua/errors_test.lua"] = {ignore = {"113"}}
-- Declarations for editors: functions without bodies.
files["scripts/gamut/meta.lua"] = {ignore = {"212", "241"}}
