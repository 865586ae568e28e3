// Scans in order, and side by side.
#include "scans.h"

#include <ATen/ATen.h>

namespace gamut::memory_cache {

using at::Tensor;

std::vector<Tensor> cut(const Tensor& tensor, const std::vector<Piece>& pieces) {
  if (pieces.size() == 1) return {tensor};
  std::vector<int64_t> lengths;
  for (const auto& piece : pieces) lengths.push_back(piece.length);
  return tensor.split_with_sizes(lengths, 1);
}

CutFeatures::CutFeatures(const NamedTensors& features, const std::vector<Piece>& of_pieces)
    : whole(features), pieces(of_pieces.size()) {
  for (const auto& f : features) {
    const auto parts = cut(f.tensor, of_pieces);
    for (size_t i = 0; i < parts.size(); ++i) pieces[i].push_back({f.name, parts[i]});
  }
}

namespace {

// A run of pieces [first, first + count) of equal length, each from a memory of its own.
struct Run {
  size_t first;
  int64_t count;
};

NamedTensors side_by_side(const CutFeatures& features, const Piece& first, const Run& run) {
  if (run.count == 1) return features.pieces[run.first];
  NamedTensors part = features.whole;
  for (auto& f : part) {
    f.tensor = f.tensor.narrow(1, first.begin, run.count * first.length)
                   .unflatten(1, {run.count, first.length})
                   .flatten(0, 1);
  }
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

void scan_in_order(Recurrent& recurrent, const CutFeatures& features,
                   const std::vector<Piece>& pieces, Scans& scans) {
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto scanned = recurrent.scan(features.pieces[i], scans.last, Tensor());
    scans.reads.push_back(std::move(scanned.read));
    scans.last = std::move(scanned.memory);
    if (pieces[i].finishes) scans.finished.push_back(scans.last);
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

void scan_run(Recurrent& recurrent, const CutFeatures& features, const std::vector<Piece>& pieces,
              const Run& run, const EmptyMemory& empty, Scans& scans) {
  const Piece& first = pieces[run.first];
  const int64_t rows = features.whole.front().tensor.size(0);
  const bool goes_on = first.segment == 0 || first.offset > 0;
  auto scanned =
      recurrent.scan(side_by_side(features, first, run),
                     starts(empty, rows, run.count, goes_on ? &scans.last : nullptr), Tensor());
  const auto parts = [&](const Tensor& t) { return t.unflatten(0, {rows, run.count}).unbind(1); };
  for (auto& read : parts(scanned.read)) scans.reads.push_back(std::move(read));
  std::vector<Memory> ends(static_cast<size_t>(run.count));
  for (const auto& m : scanned.memory) {
    const auto by_segment = parts(m);
    for (size_t i = 0; i < ends.size(); ++i) ends[i].push_back(by_segment[i]);
  }
  scans.last = ends.back();
  if (!pieces[run.first].finishes) return;  // then it is the only one
  for (auto& end : ends) scans.finished.push_back(std::move(end));
}

}  // namespace

Scans scan(Recurrent& recurrent, const Settings& settings, const CutFeatures& features,
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
