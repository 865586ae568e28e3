#include "byte_table.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <string_view>

namespace gamut::sentencepiece_plugin {
namespace {

at::Tensor integers(const at::Tensor& ids, const char* what) {
  GAMUT_CHECK(ids.defined() && at::isIntegralType(ids.scalar_type(), /*includeBool=*/false),
              "byte_counts needs integer ids, and the ", what, " ids are ",
              ids.defined() ? c10::str(ids.scalar_type()) : "missing");
  return ids.to(at::kCPU, at::kLong).contiguous();
}

}  // namespace

ByteTable::ByteTable(const ::sentencepiece::SentencePieceProcessor& model)
    : entries_(static_cast<size_t>(model.GetPieceSize()) + 1) {
  constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581
  for (int id = 0; id < model.GetPieceSize(); ++id) {
    if (model.IsControl(id) || model.IsUnknown(id) || model.IsUnused(id)) continue;
    Entry& entry = entries_[static_cast<size_t>(id)];
    entry.boundary = false;
    std::string_view piece = model.IdToPiece(id);
    entry.leading_space = !model.IsByte(id) && piece.substr(0, kMark.size()) == kMark;
    if (entry.leading_space) piece.remove_prefix(kMark.size());
    entry.base = model.IsByte(id) ? 1 : static_cast<int64_t>(piece.size());
  }
}

const ByteTable::Entry& ByteTable::of(int64_t id) const {
  GAMUT_CHECK(id >= 0, "byte_counts was given the id ", id, "; ids are 0 or more");
  return entries_[std::min(static_cast<size_t>(id), entries_.size() - 1)];
}

at::Tensor ByteTable::counts(const at::Tensor& previous, const at::Tensor& target) const {
  const at::Tensor before = integers(previous, "previous"), ids = integers(target, "target");
  GAMUT_CHECK(before.sizes() == ids.sizes(), "byte_counts needs as many previous ids as targets, ",
              "got ", before.sizes(), " and ", ids.sizes());
  at::Tensor counts = at::empty_like(ids);
  const auto* p = before.const_data_ptr<int64_t>();
  const auto* t = ids.const_data_ptr<int64_t>();
  auto* out = counts.data_ptr<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const Entry& entry = of(t[i]);
    out[i] = entry.base + (entry.leading_space && !of(p[i]).boundary ? 1 : 0);
  }
  return counts;
}

}  // namespace gamut::sentencepiece_plugin
