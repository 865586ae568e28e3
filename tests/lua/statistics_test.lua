-- gamut.statistics against SciPy 1.17 (ttest_ind with equal_var = False, permutation_test, t.sf).
local gamut = require "gamut"
local testing = require "gamut.testing"
local statistics = gamut.statistics

-- a, b; t, degrees, p, interval, p by permutation (of lists unequal in length SciPy doubles the smaller tail;
-- 9 of 35 are counted by hand).
local CASES = {
  { { 1.4353, 1.4387 }, { 1.4029, 1.3970 },
    { -10.881772949837165, 1.5982052368207957, 0.01729801822409979, -0.05586214673745009, -0.018237853262549966 },
    1 / 3 },
  { { 1.5, 2.0, 2.5, 3.5 }, { 2.0, 4.0, 4.5 },
    { 1.2857142857142858, 3.2347188264058677, 0.2828549562382462, -1.5487486216226607, 3.7987486216226607 },
    9 / 35 },
  { { 1.3507, 1.3562, 1.3499, 1.3521, 1.3518 }, { 1.3810, 1.3799, 1.3833, 1.3790, 1.3825 },
    { 21.51278484883921, 7.324179048015687, 6.892866849773207e-08, 0.02584078158049381, 0.03215921841950602 },
    2 / 252 },
}

local function close(found, expected, tolerance)
  for position, value in ipairs(expected) do testing.close(found[position], value, tolerance) end
end

testing.test("mean and spread of the seeds at 16k that were published, and of other lists", function()
  local one = statistics.summary { 1.40292339, 1.39697242 }
  testing.equal({ one.n, one.min, one.max }, { 2, 1.39697242, 1.40292339 })
  testing.close(one.mean, 1.399947905, 1e-9)
  testing.close(one.sd, 0.00420797, 1e-8)
  testing.equal(statistics.summary { 2.5 }, { n = 1, mean = 2.5, min = 2.5, max = 2.5 })
  testing.close(statistics.summary { 2, 4, 4, 4, 5, 5, 7, 9 }.sd, 2.138089935, 1e-9)
  testing.raises(function() statistics.summary {} end, "summary needs 1 or more values in a list, got 0")
end)

testing.test("Welch's t, its degrees, p and interval", function()
  for _, case in ipairs(CASES) do
    local found, expected = statistics.welch(case[1], case[2]), case[3]
    close({ found.t, found.degrees, found.low, found.high },
      { expected[1], expected[2], expected[4], expected[5] }, 1e-5)
    testing.close(found.p / expected[3], 1.0, 1e-6)
  end
end)

testing.test("the permutation test is exact, whichever list comes first", function()
  for _, case in ipairs(CASES) do
    testing.close(statistics.permutation(case[1], case[2]).p, case[4], 1e-12)
    testing.close(statistics.permutation(case[2], case[1]).p, case[4], 1e-12)
  end
  testing.equal(statistics.permutation({ 1.0, 2.0 }, { 1.0, 2.0 }), { p = 1.0, splits = 6 })
  testing.raises(function()
    local many = {}
    for i = 1, 13 do many[i] = i end
    statistics.permutation(many, many)
  end, "10400600 splits.*welch")
end)

testing.test("Student's distribution from one degree to many", function()
  for _, case in ipairs { { 0.5, 1, 0.7048327646991335 }, { 2.0, 3.7, 0.12181720190523398 },
    { 12.0, 8, 2.143866747688769e-06 }, { 1.0, 250.0, 0.3182774222334547 } } do
    testing.close(statistics.student_p(case[1], case[2]) / case[3], 1.0, 1e-9)
  end
end)

testing.test("no spread, and too few values", function()
  testing.equal(statistics.welch({ 1.0, 1.0 }, { 1.0, 1.0 }).p, 1.0)
  testing.equal(statistics.welch({ 2.0, 2.0 }, { 1.0, 1.0 }).t, -math.huge)
  testing.raises(function() statistics.welch({ 1.0 }, { 1.0, 2.0 }) end, "needs 2 or more values in a list, got 1")
  testing.raises(function() statistics.permutation({}, { 1.0 }) end, "needs 1 or more")
  testing.raises(function() statistics.permutation({ 1.0, 0 / 0 }, { 1.0 }) end, "value 2 is %-?nan")
end)

testing.finish()
