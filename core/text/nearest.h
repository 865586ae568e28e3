// "Did you mean": the known name nearest to a misspelt one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace gamut::text {

// Edits (insert, delete, replace, swap of neighbours) that turn one name into the other; case
// counts as no edit.
inline size_t edit_distance(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = above[j - 1] + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      row[j] = std::min({replaced, above[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

// The known name that is near enough to be what was meant, or "". A third of the letters may
// differ, at least two; a name that merely lacks its end (`n_head`) is near too.
inline std::string nearest(std::string_view wanted, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, wanted.size() / 3) + 1;
  for (const auto& name : known) {
    const size_t distance = edit_distance(wanted, name);
    const bool shares_nothing = distance >= std::max(name.size(), wanted.size());
    if (distance < best_distance && !shares_nothing) {
      best_distance = distance;
      best = name;
    }
  }
  return best;
}

// How a sentence about an unknown name ends: "; did you mean `x`?", or the names there are, or "".
inline std::string did_you_mean(std::string_view wanted, std::vector<std::string> known) {
  if (known.empty()) return "";
  const std::string guess = nearest(wanted, known);
  if (!guess.empty()) return "; did you mean `" + guess + "`?";
  std::sort(known.begin(), known.end());
  std::string list = "; known: ";
  for (size_t i = 0; i < known.size(); ++i) list += (i ? ", `" : "`") + known[i] + "`";
  return list;
}

}  // namespace gamut::text
