// The cutting of spans into pieces; see pieces.h.
#include "pieces.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

namespace gamut::attention {

using at::Tensor;

namespace {

constexpr int64_t kMostQueries = 256, kLeastQueries = 64;  // of a masked block
constexpr int64_t kShort = 64;  // documents up to this length are done together

constexpr double kHidden = -std::numeric_limits<double>::infinity();

class Planner {
 public:
  Planner(const Seen& seen, const at::TensorOptions& mask) : seen_(seen), options_(mask) {}

  // `rows` rows that are alike, the first of them given.
  void add(const Span& s, int64_t rows) {
    const bool all_in_window = seen_.window == 0 || s.keys <= seen_.window;
    Piece piece{s.row, rows, s.query, s.queries, s.key_row, s.key, s.keys};
    if (!seen_.causal || s.keys == 0 || (s.queries == 1 && all_in_window)) {
      pieces_.push_back(piece);
    } else if (all_in_window && s.keys == s.queries) {
      piece.sees = Piece::Sees::own_and_earlier;
      pieces_.push_back(piece);
    } else {
      add_blocks(s, rows);
    }
  }

  // Documents of one row, one after the other, that nothing precedes.
  void add_together(const Span* begin, const Span* end) {
    const int64_t query = begin->query, steps = (end - 1)->query + (end - 1)->queries - query;
    const auto mask = at::full({steps, steps}, kHidden, at::kFloat);
    auto* shown = mask.mutable_data_ptr<float>();
    for (const Span* s = begin; s < end; ++s) {
      for (int64_t i = 0; i < s->queries; ++i) {
        const int64_t from = seen_.window > 0 ? std::max<int64_t>(0, i - seen_.window + 1) : 0;
        const int64_t first = s->query - query;
        std::fill_n(shown + (first + i) * steps + first + from, i - from + 1, 0.0F);
      }
    }
    pieces_.push_back({begin->row, 1, query, steps, begin->key_row, begin->key, steps,
                       Piece::Sees::masked, mask.to(options_)});
  }

  Pieces take() { return std::move(pieces_); }

 private:
  // Blocks about as long as the window: longer ones compute more that is hidden, shorter ones read
  // the keys more often.
  void add_blocks(const Span& s, int64_t rows) {
    const int64_t window = seen_.window;
    const int64_t block =
        window > 0 ? std::clamp(window, kLeastQueries, kMostQueries) : kMostQueries;
    const int64_t end = s.key + s.keys;
    for (int64_t i = 0; i < s.queries; i += block) {
      const int64_t count = std::min(block, s.queries - i);
      const int64_t first = end - s.queries + i;  // the key of the first query
      const int64_t key = window > 0 ? std::max(s.key, first - window + 1) : s.key;
      const int64_t keys = first + count - key;
      pieces_.push_back({s.row, rows, s.query + i, count, s.key_row, key, keys, Piece::Sees::masked,
                         band(count, keys)});
    }
  }

  // Query i is key i + keys - queries. Blocks inside a sequence share one mask.
  Tensor band(int64_t queries, int64_t keys) {
    if (band_.defined() && band_.size(0) == queries && band_.size(1) == keys) return band_;
    const int64_t offset = keys - queries;
    band_ = at::full({queries, keys}, kHidden, options_).triu_(offset + 1);
    if (seen_.window > 0) {
      band_ = band_ + at::full({queries, keys}, kHidden, options_).tril_(offset - seen_.window);
    }
    return band_;
  }

  const Seen& seen_;
  at::TensorOptions options_;
  Pieces pieces_;
  Tensor band_;
};

// Whether b is the same for the next row.
bool is_next_row(const Span& a, const Span& b) {
  return b.row == a.row + 1 && b.key_row == a.key_row + 1 && b.query == a.query &&
         b.queries == a.queries && b.key == a.key && b.keys == a.keys;
}

size_t rows_alike(const std::vector<Span>& spans, size_t from) {
  size_t count = 1;
  while (from + count < spans.size() && is_next_row(spans[from + count - 1], spans[from + count])) {
    ++count;
  }
  return count;
}

// How many documents from this one on, all in one row and with nothing before them, are short
// enough together.
size_t short_documents(const Seen& seen, size_t from) {
  size_t count = 0;
  int64_t steps = 0;
  for (size_t i = from; seen.causal && i < seen.spans.size(); ++i, ++count) {
    const auto& s = seen.spans[i];
    steps += s.queries;
    if (s.row != seen.spans[from].row || s.keys != s.queries || steps > kShort) break;
  }
  return count;
}

}  // namespace

Pieces pieces_of(const Seen& seen, const at::TensorOptions& mask) {
  Planner planner(seen, mask);
  const auto& spans = seen.spans;
  for (size_t i = 0; i < spans.size();) {
    const size_t rows = rows_alike(spans, i), together = short_documents(seen, i);
    if (rows == 1 && together > 1) {
      planner.add_together(&spans[i], &spans[i] + together);
      i += together;
    } else {
      planner.add(spans[i], static_cast<int64_t>(rows));
      i += rows;
    }
  }
  return planner.take();
}

}  // namespace gamut::attention
