// The choice of the pieces by how long the busiest thread would work; see division.h.
#include "ops/gated_delta_rule/division.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace gamut::ops {
namespace {

// What the scan costs of the whole backward pass of a chunk, estimated: all columns at once, and
// what each slice costs besides its columns.
constexpr double kScan = 0.4, kSlice = 0.1;
constexpr int64_t kMostPieces = 16;

// How long the busiest thread works if the longest task goes first, to the thread that is free
// first.
double busiest(std::vector<double> tasks, int64_t threads) {
  std::sort(tasks.begin(), tasks.end(), std::greater<>());
  std::priority_queue<double, std::vector<double>, std::greater<>> ends;
  double last = 0;
  for (const double task : tasks) {
    double end = task;
    if (static_cast<int64_t>(ends.size()) == threads) {
      end += ends.top();
      ends.pop();
    }
    ends.push(end);
    last = std::max(last, end);
  }
  return last;
}

double time_of(const DeltaRuleLoad& load, int64_t piece) {
  std::vector<double> scans, pieces;
  for (int64_t chunks : load.chunks) {
    const int64_t scanned = (chunks - 1) / piece * piece;  // the first piece is left out
    const double scan = static_cast<double>(std::min(scanned, chunks)) *
                        (kScan / static_cast<double>(load.slices) + kSlice);
    if (scanned > 0) scans.insert(scans.end(), load.heads * load.slices, scan);
    for (; chunks > 0; chunks -= piece) {
      pieces.insert(pieces.end(), load.heads, static_cast<double>(std::min(piece, chunks)));
    }
  }
  return busiest(std::move(scans), load.threads) + busiest(std::move(pieces), load.threads);
}

}  // namespace

int64_t delta_rule_piece(const DeltaRuleLoad& load) {
  const int64_t longest = *std::max_element(load.chunks.begin(), load.chunks.end());
  if (load.threads < 2 || static_cast<int64_t>(load.chunks.size()) * load.heads >= 4 * load.threads)
    return longest;
  int64_t best = longest;
  double least = 0.95 * time_of(load, longest);
  for (int64_t pieces = 2; pieces <= std::min(kMostPieces, longest); ++pieces) {
    const int64_t piece = (longest + pieces - 1) / pieces;
    const double time = time_of(load, piece);
    if (time < least) {
      best = piece;
      least = time;
    }
  }
  return best;
}

}  // namespace gamut::ops
