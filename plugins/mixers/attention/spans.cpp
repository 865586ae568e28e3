// Spans of documents, with and without cached keys, and of memories; see spans.h.
#include "spans.h"

namespace gamut::attention {

Seen causal_spans(const Documents& documents, const std::vector<int64_t>& before, int64_t cached,
                  int64_t window) {
  Seen seen{{}, true, window};
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), begin = documents.begin(i) - row * documents.time();
    const int64_t length = documents.end(i) - documents.begin(i);
    const int64_t earlier = documents.is_first(i) ? before[row] : 0;
    seen.spans.push_back({row, begin, length, row, cached + begin - earlier, earlier + length});
  }
  return seen;
}

Seen memory_spans(const Documents& documents, const std::vector<int64_t>& lengths,
                  const std::vector<int64_t>& entries) {
  Seen seen{{}, false, 0};
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), begin = documents.begin(i) - row * documents.time();
    seen.spans.push_back(
        {row, begin, documents.end(i) - documents.begin(i), entries[i], 0, lengths[i]});
  }
  return seen;
}

}  // namespace gamut::attention
