// How the rows of a call are cut for the scan's kernels.
#pragma once

#include <gamut/documents.h>

#include <algorithm>
#include <vector>

#include "ops/selective_scan/kernel.h"

namespace gamut::ops {

// A row is a sequence of chunks, none over the end of a document. Only chunks that do not begin a
// document need the state before them kept.
struct ScanChunks {
  std::vector<ScanChunk> chunks;
  std::vector<int64_t> first;  // chunk of each row, and at the end the number of chunks
  int64_t checkpoints = 0;

  explicit ScanChunks(const Documents& documents) {
    for (int64_t i = 0; i < documents.size(); ++i) {
      if (documents.is_first(i)) first.push_back(size());
      for (int64_t from = documents.begin(i); from < documents.end(i); from += kScanSteps) {
        const int64_t to = std::min(documents.end(i), from + kScanSteps);
        const bool is_first = from == documents.begin(i);
        const int64_t checkpoint = is_first ? -1 : checkpoints++;
        chunks.push_back({from, to, i, is_first, to == documents.end(i), checkpoint});
      }
    }
    first.push_back(size());
  }

  int64_t rows() const { return static_cast<int64_t>(first.size()) - 1; }
  int64_t size() const { return static_cast<int64_t>(chunks.size()); }
};

}  // namespace gamut::ops
