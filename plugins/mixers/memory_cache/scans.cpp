// Scans in order, and side by side.
#include "scans.h"

#include <ATen/ATen.h>

#include "rows.h"

namespace gamut::memory_cache {

using at::Tensor;

namespace {

// A run of pieces [first, first + count) of equal length, each from a memory of its own.
struct Run {
  size_t first;
  int64_t count;
};

NamedTensors side_by_side(const NamedTensors& features, int64_t begin, int64_t count,
                          int64_t length) {
  auto part = steps_of(features, begin, count * length);
  for (auto& f : part) f.tensor = f.tensor.unflatten(1, {count, length}).flatten(0, 1);
  return part;
}

// Empty memories for count segments of each row, the first of which goes on from `online` where
// that is given: [rows * count, ...], segments fastest.
Memory starts(const EmptyMemory& empty, int64_t rows, int64_t count, const Memory* online) {
  if (!online) return empty(rows * count);
  if (count == 1) return *online;
  Memory memory = empty(rows * (count - 1));
  for (size_t i = 0; i < memory.size(); ++i) {
    const auto fresh = memory[i].unflatten(0, {rows, count - 1});
    memory[i] = at::cat({(*online)[i].unsqueeze(1), fresh}, 1).flatten(0, 1);
  }
  return memory;
}

void scan_in_order(Recurrent& recurrent, const NamedTensors& features,
                   const std::vector<Piece>& pieces, Scans& scans) {
  for (const auto& piece : pieces) {
    auto scanned =
        recurrent.scan(steps_of(features, piece.begin, piece.length), scans.last, Tensor());
    scans.reads.push_back(std::move(scanned.read));
    scans.last = std::move(scanned.memory);
    if (piece.finishes) scans.finished.push_back(scans.last);
  }
}

// Pieces from `first` on that are whole segments, or the one piece there.
Run next_run(const std::vector<Piece>& pieces, size_t first) {
  const auto is_whole = [](const Piece& p) { return p.offset == 0 && p.finishes; };
  Run run{first, 1};
  while (is_whole(pieces[first]) && first + static_cast<size_t>(run.count) < pieces.size() &&
         is_whole(pieces[first + static_cast<size_t>(run.count)])) {
    ++run.count;
  }
  return run;
}

void scan_run(Recurrent& recurrent, const NamedTensors& features, const std::vector<Piece>& pieces,
              const Run& run, const EmptyMemory& empty, Scans& scans) {
  const Piece& first = pieces[run.first];
  const int64_t rows = features.front().tensor.size(0);
  const bool goes_on = first.segment == 0 || first.offset > 0;
  auto scanned =
      recurrent.scan(side_by_side(features, first.begin, run.count, first.length),
                     starts(empty, rows, run.count, goes_on ? &scans.last : nullptr), Tensor());
  const auto part = [&](const Tensor& t, int64_t i) {
    return t.unflatten(0, {rows, run.count}).select(1, i);
  };
  for (int64_t i = 0; i < run.count; ++i) {
    scans.reads.push_back(part(scanned.read, i));
    scans.last.clear();
    for (const auto& m : scanned.memory) scans.last.push_back(part(m, i));
    if (pieces[run.first + static_cast<size_t>(i)].finishes) {
      scans.finished.push_back(scans.last);
    }
  }
}

}  // namespace

Scans scan(Recurrent& recurrent, const Settings& settings, const NamedTensors& features,
           const std::vector<Piece>& pieces, const Memory& online, const EmptyMemory& empty) {
  Scans scans;
  scans.last = online;
  if (settings.carry_over == CarryOver::checkpoint) {
    scan_in_order(recurrent, features, pieces, scans);
    return scans;
  }
  for (size_t first = 0; first < pieces.size();) {
    const Run run = next_run(pieces, first);
    scan_run(recurrent, features, pieces, run, empty, scans);
    first += static_cast<size_t>(run.count);
  }
  return scans;
}

}  // namespace gamut::memory_cache
