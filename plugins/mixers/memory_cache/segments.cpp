// Cutting into segments; the lists of cached memories, constant and logarithmic.
#include "segments.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gamut::memory_cache {

using at::Tensor;

std::vector<Piece> cut(int64_t before, int64_t length, int64_t segment_size) {
  std::vector<Piece> pieces;
  for (int64_t begin = 0; begin < length;) {
    Piece piece{};
    piece.begin = begin;
    piece.segment = (before + begin) / segment_size;
    piece.offset = (before + begin) % segment_size;
    piece.length = std::min(segment_size - piece.offset, length - begin);
    piece.finishes = piece.offset + piece.length == segment_size;
    pieces.push_back(piece);
    begin += piece.length;
  }
  return pieces;
}

int64_t cached_count(const Settings& settings, int64_t finished) {
  if (settings.segments == Segments::logarithmic) {
    int64_t ones = 0;
    for (; finished > 0; finished /= 2) ones += finished % 2;
    return ones;
  }
  return settings.max_segments > 0 ? std::min(finished, settings.max_segments) : finished;
}

namespace {

Cache stack(const std::vector<Entry>& entries) {
  Cache cache;
  cache.size = static_cast<int64_t>(entries.size());
  if (entries.empty()) return cache;
  std::vector<Tensor> list(entries.size());
  const auto stacked = [&](auto part) {
    std::transform(entries.begin(), entries.end(), list.begin(), part);
    return at::stack(list, 1);
  };
  for (size_t i = 0; i < entries.front().memory.size(); ++i) {
    cache.memories.push_back(stacked([i](const Entry& e) { return e.memory[i]; }));
  }
  if (entries.front().mean.defined()) {
    cache.means = stacked([](const Entry& e) { return e.mean; });
  }
  return cache;
}

std::vector<Entry> unstack(const Cache& cache) {
  std::vector<Entry> entries(static_cast<size_t>(cache.size));
  for (int64_t i = 0; i < cache.size; ++i) {
    auto& entry = entries[static_cast<size_t>(i)];
    for (const auto& m : cache.memories) entry.memory.push_back(m.select(1, i));
    if (cache.means.defined()) entry.mean = cache.means.select(1, i);
  }
  return entries;
}

Cache joined(const Cache& a, const Cache& b) {
  if (a.size == 0) return b;
  if (b.size == 0) return a;
  Cache both;
  both.size = a.size + b.size;
  for (size_t i = 0; i < a.memories.size(); ++i) {
    both.memories.push_back(at::cat({a.memories[i], b.memories[i]}, 1));
  }
  if (a.means.defined()) both.means = at::cat({a.means, b.means}, 1);
  return both;
}

Cache narrowed(const Cache& cache, int64_t first, int64_t count) {
  Cache part;
  part.size = count;
  part.first = first;
  if (count == 0) return part;
  for (const auto& m : cache.memories) part.memories.push_back(m.narrow(1, first, count));
  if (cache.means.defined()) part.means = cache.means.narrow(1, first, count);
  return part;
}

// All entries once, and of them to each piece those that it sees: nothing is copied by piece.
Caches constant_caches(const Settings& settings, const std::vector<Piece>& pieces,
                       const Cache& before, const std::vector<Entry>& finished) {
  Caches result{{}, joined(before, stack(finished))};
  const int64_t first_segment = pieces.front().segment - before.size;
  const auto add = [&](int64_t segment) {
    const int64_t count = cached_count(settings, segment);
    result.seen.push_back(narrowed(result.all, segment - count - first_segment, count));
  };
  for (const auto& piece : pieces) add(piece.segment);
  add(pieces.back().segment + (pieces.back().finishes ? 1 : 0));
  return result;
}

// Two neighbours of equal length as one. From checkpoint to checkpoint the later memory holds both;
// of memories that started empty the sum does, exactly so where the recurrence only adds.
Entry merged(const Entry& a, const Entry& b, CarryOver carry_over) {
  Entry both = b;
  if (carry_over == CarryOver::independent) {
    for (size_t i = 0; i < a.memory.size(); ++i) both.memory[i] = a.memory[i] + b.memory[i];
  }
  if (a.mean.defined()) both.mean = (a.mean + b.mean) / 2;
  return both;
}

// A binary counter whose digits are entries.
Caches logarithmic_caches(const Settings& settings, const std::vector<Piece>& pieces,
                          const Cache& before, const std::vector<Entry>& finished) {
  auto entries = unstack(before);
  auto next = finished.begin();
  Caches result;
  for (const auto& piece : pieces) {
    result.seen.push_back(stack(entries));
    if (!piece.finishes) continue;
    entries.push_back(*next++);
    for (int64_t carry = piece.segment; carry % 2 == 1; carry /= 2) {
      const Entry last = entries.back();
      entries.pop_back();
      entries.back() = merged(entries.back(), last, settings.carry_over);
    }
  }
  result.seen.push_back(stack(entries));
  return result;
}

}  // namespace

Caches caches(const Settings& settings, const std::vector<Piece>& pieces, const Cache& before,
              const std::vector<Entry>& finished) {
  const auto listed =
      settings.segments == Segments::constant ? constant_caches : logarithmic_caches;
  return listed(settings, pieces, before, finished);
}

}  // namespace gamut::memory_cache
