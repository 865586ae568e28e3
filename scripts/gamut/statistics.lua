-- gamut.statistics: mean and spread of the figures of some runs, and whether those of two sets differ, where each set
-- is a handful of seeds.
--
-- The two tests make no claim about the spread being alike: Welch's t (1947), which takes the figures to be normal,
-- and the exact permutation test, which takes nothing for granted and needs four seeds a side to say anything.
local statistics = {}

local function check(values, least, who)
  if type(values) ~= "table" then
    error(("statistics.%s takes lists of numbers, got a %s"):format(who, type(values)), 3)
  end
  for position, value in ipairs(values) do
    if type(value) ~= "number" or value ~= value then
      error(("statistics.%s: value %d is %s, no number"):format(who, position, tostring(value)), 3)
    end
  end
  if #values < least then
    error(("statistics.%s needs %d or more values in a list, got %d"):format(who, least, #values), 3)
  end
end

local function sum(values)
  local total = 0.0
  for _, value in ipairs(values) do total = total + value end
  return total
end

local function mean(values) return sum(values) / #values end

-- The unbiased variance; 0 of one value.
local function variance(values)
  if #values < 2 then return 0.0 end
  local centre, total = mean(values), 0.0
  for _, value in ipairs(values) do total = total + (value - centre) ^ 2 end
  return total / (#values - 1)
end

-- ln Gamma(x) for x > 0: Lanczos' sum with g = 7 and 9 terms, relative error 1e-15.
local LANCZOS = {
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
}
local function log_gamma(x)
  local series, t = LANCZOS[1], x + 6.5
  for i = 2, 9 do series = series + LANCZOS[i] / (x + i - 2) end
  return 0.5 * math.log(2 * math.pi) + (x - 0.5) * math.log(t) - t + math.log(series)
end

-- The continued fraction of the incomplete beta function, by Lentz' method.
local function beta_fraction(a, b, x)
  local function away_from_zero(value) return math.abs(value) < 1e-300 and 1e-300 or value end
  local c, d = 1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0))
  local h = d
  for m = 1, 10000 do
    local before = h
    local even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    local odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    for _, term in ipairs { even, odd } do
      d = 1.0 / away_from_zero(1.0 + term * d)
      c = away_from_zero(1.0 + term / c)
      h = h * d * c
    end
    if math.abs(h - before) <= 1e-15 * math.abs(h) then break end
  end
  return h
end

-- The regularised incomplete beta function I_x(a, b).
local function beta(a, b, x)
  if x <= 0.0 then return 0.0 end
  if x >= 1.0 then return 1.0 end
  local front = math.exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * math.log(x) + b * math.log(1.0 - x))
  if x < (a + 1.0) / (a + b + 2.0) then return front * beta_fraction(a, b, x) / a end
  return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b
end

---n, mean, sample standard deviation (of two or more: n - 1 in the denominator), least and greatest.
---@param values number[] one or more
---@return {n: integer, mean: number, sd: number?, min: number, max: number}
function statistics.summary(values)
  check(values, 1, "summary")
  local sd = #values > 1 and math.sqrt(variance(values)) or nil
  local least, greatest = math.min(table.unpack(values)), math.max(table.unpack(values))
  return { n = #values, mean = mean(values), sd = sd, min = least, max = greatest }
end

---The probability that |t| is at least so large under Student's distribution.
---@param t number
---@param degrees number of freedom, above 0; need not be whole
---@return number
function statistics.student_p(t, degrees) return beta(degrees / 2, 0.5, degrees / (degrees + t * t)) end

-- The t that leaves `p` outside on both sides together.
local function student_quantile(p, degrees)
  local low, high = 0.0, 1.0
  while statistics.student_p(high, degrees) > p do high = high * 2 end
  for _ = 1, 200 do
    local middle = (low + high) / 2
    if statistics.student_p(middle, degrees) > p then low = middle else high = middle end
  end
  return high
end

---@class gamut.Welch
---@field difference number mean(b) - mean(a)
---@field low number end of the 95 % interval of the difference
---@field high number
---@field t number
---@field degrees number of freedom (Welch and Satterthwaite)
---@field p number two-sided

---Welch's t-test of two lists with two or more values each.
---@param a number[]
---@param b number[]
---@return gamut.Welch
function statistics.welch(a, b)
  check(a, 2, "welch")
  check(b, 2, "welch")
  local va, vb = variance(a) / #a, variance(b) / #b
  local difference, error_ = mean(b) - mean(a), math.sqrt(va + vb)
  if error_ == 0.0 then
    local t, p = 0.0, 1.0
    if difference ~= 0.0 then t, p = difference > 0 and math.huge or -math.huge, 0.0 end
    return { difference = difference, low = difference, high = difference, t = t, degrees = #a + #b - 2, p = p }
  end
  local degrees = (va + vb) ^ 2 / (va ^ 2 / (#a - 1) + vb ^ 2 / (#b - 1))
  local t, reach = difference / error_, student_quantile(0.05, degrees) * error_
  return {
    difference = difference, low = difference - reach, high = difference + reach, t = t, degrees = degrees,
    p = statistics.student_p(t, degrees),
  }
end

-- Beyond this number of splits, random ones would be needed; 10 against 10 seeds are 184,756.
local MOST_SPLITS = 1000000

-- Calls visit(sum) for every choice of `size` of the values.
local function each_choice(values, size, visit)
  local function choose(first, left, total)
    if left == 0 then return visit(total) end
    for position = first, #values - left + 1 do choose(position + 1, left - 1, total + values[position]) end
  end
  choose(1, size, 0.0)
end

local function number_of_choices(n, k)
  local choices = 1.0
  for i = 1, k do choices = choices * (n - k + i) / i end
  return math.floor(choices + 0.5)
end

---@class gamut.Permutation
---@field p number share of all splits whose means differ at least as much, this one among them
---@field splits integer

---The exact two-sided permutation test of the difference of two means. The least p that n against n seeds can give
---is 2 over the number of splits: 0.33 for two, 0.029 for four, 0.008 for five.
---@param a number[]
---@param b number[]
---@return gamut.Permutation
function statistics.permutation(a, b)
  check(a, 1, "permutation")
  check(b, 1, "permutation")
  local splits = number_of_choices(#a + #b, #a)
  if splits > MOST_SPLITS then
    error(("statistics.permutation: %d against %d values have %.0f splits, more than %d; use statistics.welch")
      :format(#a, #b, splits, MOST_SPLITS), 2)
  end
  local all = table.move(b, 1, #b, #a + 1, { table.unpack(a) })
  local total = sum(all)
  local function gap(sum_a) return math.abs((total - sum_a) / #b - sum_a / #a) end
  -- Sums in another order differ in their last bits.
  local observed, extreme = gap(sum(a)) * (1 - 1e-12) - 1e-300, 0
  each_choice(all, #a, function(sum_a) if gap(sum_a) >= observed then extreme = extreme + 1 end end)
  return { p = extreme / splits, splits = splits }
end

return statistics
