// A hash a document, no random stream: the split of one does not depend on the others.
#include "data/corpus_split.h"

#include <algorithm>

#include "data/permutation.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

constexpr size_t kPiece = size_t{1} << 20;

int64_t text_bytes(const Document& document) {
  DocumentReader reader(document);
  int64_t total = 0;
  for (std::string piece = reader.read(kPiece); !piece.empty(); piece = reader.read(kPiece)) {
    total += static_cast<int64_t>(piece.size());
  }
  return total;
}

}  // namespace

double split_position(const std::string& name, uint64_t seed) {
  const std::string hash = files::xxh3_hex(name.data(), name.size());
  const uint64_t bits = mix64(std::stoull(hash.substr(0, 16), nullptr, 16) ^ mix64(seed));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::vector<bool> hold_out(const std::vector<Document>& documents, double share, uint64_t seed) {
  std::vector<bool> held(documents.size(), false);
  if (share <= 0 || documents.empty()) return held;
  std::vector<double> positions;
  for (const auto& document : documents) positions.push_back(split_position(document.name, seed));
  for (size_t i = 0; i < positions.size(); ++i) held[i] = positions[i] < share;
  const auto first = std::min_element(positions.begin(), positions.end()) - positions.begin();
  const auto last = std::max_element(positions.begin(), positions.end()) - positions.begin();
  held[static_cast<size_t>(first)] = true;
  if (documents.size() > 1) held[static_cast<size_t>(last)] = false;
  return held;
}

int64_t cut_position(const Document& document, double share) {
  const int64_t total = text_bytes(document);
  const auto target = static_cast<int64_t>(static_cast<double>(total) * (1 - share));
  DocumentReader reader(document);
  int64_t begin = 0;
  for (std::string piece = reader.read(kPiece); !piece.empty(); piece = reader.read(kPiece)) {
    const auto size = static_cast<int64_t>(piece.size());
    if (begin + size > target) {
      const auto line_end =
          piece.find('\n', static_cast<size_t>(std::max<int64_t>(target - begin, 0)));
      if (line_end != std::string::npos) {
        // A text whose only line end is its last byte is cut without regard to lines.
        const int64_t cut = begin + static_cast<int64_t>(line_end) + 1;
        return cut < total ? cut : target;
      }
    }
    begin += size;
  }
  return target;
}

}  // namespace gamut::data
