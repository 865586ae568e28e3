// The cutting of causal attention into pieces; see pieces.h.
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

// Steps [begin, begin + length) of a row, with `before` cached steps of the same document.
struct Span {
  int64_t row, rows, begin, length, before;
};

class Planner {
 public:
  Planner(int64_t cached, const Masking& masking) : cached_(cached), m_(masking) {}

  void add(const Span& s) {
    const bool all_in_window = m_.window == 0 || s.before + s.length <= m_.window;
    if (s.length == 1) return add_step(s);
    if (!all_in_window || (s.before > 0 && !m_.may_split_keys)) return add_blocks(s);
    const int64_t own = cached_ + s.begin;
    if (s.before > 0) {
      pieces_.push_back({s.row, s.rows, s.begin, s.length, s.row, own - s.before, s.before});
    }
    pieces_.push_back({s.row, s.rows, s.begin, s.length, s.row, own, s.length,
                       Piece::Sees::own_and_earlier, Tensor()});
  }

  // Documents of one row, one after the other, that nothing precedes.
  void add_together(const std::vector<Span>& spans) {
    if (spans.size() == 1) return add(spans[0]);
    const int64_t begin = spans[0].begin;
    const int64_t steps = spans.back().begin + spans.back().length - begin;
    const auto mask = at::full({steps, steps}, kHidden, at::kFloat);
    auto* seen = mask.mutable_data_ptr<float>();
    for (const auto& s : spans) {
      for (int64_t i = 0; i < s.length; ++i) {
        const int64_t from = m_.window > 0 ? std::max<int64_t>(0, i - m_.window + 1) : 0;
        const int64_t query = s.begin - begin + i, key = s.begin - begin + from;
        std::fill_n(seen + query * steps + key, i - from + 1, 0.0F);
      }
    }
    pieces_.push_back({spans[0].row, 1, begin, steps, spans[0].row, cached_ + begin, steps,
                       Piece::Sees::masked, mask.to(m_.mask)});
  }

  Pieces take() { return std::move(pieces_); }

 private:
  void add_step(const Span& s) {
    const int64_t last = cached_ + s.begin;
    const int64_t seen = m_.window > 0 ? std::min(m_.window - 1, s.before) : s.before;
    pieces_.push_back({s.row, s.rows, s.begin, 1, s.row, last - seen, seen + 1});
  }

  // Blocks about as long as the window: longer ones compute more that is hidden, shorter ones read
  // the keys more often.
  void add_blocks(const Span& s) {
    const int64_t block =
        m_.window > 0 ? std::clamp(m_.window, kLeastQueries, kMostQueries) : kMostQueries;
    for (int64_t i = 0; i < s.length; i += block) {
      const int64_t count = std::min(block, s.length - i);
      const int64_t first = cached_ + s.begin + i, start = cached_ + s.begin - s.before;
      const int64_t key = m_.window > 0 ? std::max(start, first - m_.window + 1) : start;
      const int64_t keys = first + count - key;
      pieces_.push_back({s.row, s.rows, s.begin + i, count, s.row, key, keys, Piece::Sees::masked,
                         band(count, keys)});
    }
  }

  // Query i is key i + keys - queries. Blocks inside a sequence share one mask.
  Tensor band(int64_t queries, int64_t keys) {
    if (band_.defined() && band_.size(0) == queries && band_.size(1) == keys) return band_;
    const int64_t offset = keys - queries;
    band_ = at::full({queries, keys}, kHidden, m_.mask).triu_(offset + 1);
    if (m_.window > 0) {
      band_ = band_ + at::full({queries, keys}, kHidden, m_.mask).tril_(offset - m_.window);
    }
    return band_;
  }

  int64_t cached_;
  const Masking& m_;
  Pieces pieces_;
  Tensor band_;
};

}  // namespace

Pieces causal_pieces(const Documents& documents, const std::vector<int64_t>& before, int64_t cached,
                     const Masking& masking) {
  Planner planner(cached, masking);
  const bool equal_rows =
      std::all_of(before.begin(), before.end(), [&](int64_t n) { return n == before[0]; });
  if (!documents.packed() && equal_rows) {
    planner.add({0, documents.batch(), 0, documents.time(), before[0]});
    return planner.take();
  }
  std::vector<Span> together;
  int64_t steps = 0;
  const auto flush = [&] {
    if (!together.empty()) planner.add_together(together);
    together.clear();
    steps = 0;
  };
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), length = documents.end(i) - documents.begin(i);
    const Span span{row, 1, documents.begin(i) - row * documents.time(), length,
                    documents.is_first(i) ? before[row] : 0};
    if (documents.is_first(i) || steps + length > kShort) flush();
    if (span.before > 0 || length > kShort) {
      planner.add(span);
      continue;
    }
    together.push_back(span);
    steps += length;
  }
  flush();
  return planner.take();
}

Pieces memory_pieces(const Documents& documents, const std::vector<int64_t>& lengths,
                     const std::vector<int64_t>& entries) {
  Pieces pieces;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), begin = documents.begin(i) - row * documents.time();
    const int64_t steps = documents.end(i) - documents.begin(i);
    if (!documents.packed() && i > 0 && lengths[i] == pieces.back().keys) {
      ++pieces.back().rows;  // entries are rows here
      continue;
    }
    pieces.push_back({row, 1, begin, steps, entries[i], 0, lengths[i]});
  }
  return pieces;
}

}  // namespace gamut::attention
