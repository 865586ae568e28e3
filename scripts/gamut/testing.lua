-- Tests in Lua: name a test, check things in it, finish.
--
--     local testing = require "gamut.testing"
--     testing.test("addition", function() testing.equal(1 + 1, 2) end)
--     testing.finish()

local gamut = require "gamut"

local testing = {}

local passed, failures = 0, {}

-- Runs `fn`; an error in it is a failure, and the next test goes on.
function testing.test(name, fn)
  local ok, trace = xpcall(fn, function(message) return debug.traceback(tostring(message), 2) end)
  if ok then
    passed = passed + 1
  else
    failures[#failures + 1] = name
    io.stderr:write(("FAILED %s\n  %s\n"):format(name, (trace:gsub("\n", "\n  "))))
  end
end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = (type(key) == "number" and "" or tostring(key) .. " = ") .. show(item)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(a, b)
  if gamut.is_tensor(a) and gamut.is_tensor(b) then
    return a.dtype == b.dtype and a.device == b.device and gamut.equal(a, b)
  end
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b and math.type(a) == math.type(b)
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Equal in value and type: 1 is not 1.0; tables by content; tensors bit by bit, dtype included.
function testing.equal(actual, expected)
  if not same(actual, expected) then
    error(("expected %s, got %s"):format(show(expected), show(actual)), 2)
  end
end

function testing.is_true(value, message)
  if not value then error(message or ("expected a true value, got " .. tostring(value)), 2) end
end

local function distance(a, b)
  if gamut.is_tensor(a) or gamut.is_tensor(b) then
    a = gamut.is_tensor(a) and a:detach() or gamut.tensor(a)
    b = gamut.is_tensor(b) and b:detach() or gamut.tensor(b)
    if show(a.shape) ~= show(b.shape) then
      return nil, ("shapes differ: %s and %s"):format(show(a.shape), show(b.shape))
    end
    if a:numel() == 0 then return 0 end
    local gap = (a:double() - b:double()):abs():max():item()
    return gap
  end
  return math.abs(a - b)
end

-- Tensors, nested tables or numbers whose largest difference is within `tolerance` (default 1e-6).
-- NaN is never close.
function testing.close(actual, expected, tolerance)
  tolerance = tolerance or 1e-6
  local gap, complaint = distance(actual, expected)
  if not gap then error(complaint, 2) end
  if not (gap <= tolerance) then
    error(("expected\n%s\ngot\n%s\nlargest difference %g, allowed %g")
      :format(show(expected), show(actual), gap, tolerance), 2)
  end
end

-- Calls `fn`, which must fail with a message that matches the pattern; returns the message.
function testing.raises(fn, pattern)
  local ok, message = pcall(fn)
  if ok then error("expected an error, but there was none", 2) end
  message = tostring(message)
  if pattern and not message:find(pattern) then
    error(("expected an error like `%s`, got: %s"):format(pattern, message), 2)
  end
  return message
end

-- Prints the count; ends the program with status 1 when a test failed or none ran.
function testing.finish()
  print(("%d passed, %d failed"):format(passed, #failures))
  if #failures > 0 or passed == 0 then os.exit(1, true) end
end

return testing
