// Gathering of steps and rows by index.
#include "rows.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace gamut::memory_cache {

using at::Tensor;

Tensor rows_of(const Tensor& tensor, const std::vector<int64_t>& rows) {
  bool all = static_cast<int64_t>(rows.size()) == tensor.size(0);
  for (size_t i = 0; all && i < rows.size(); ++i) all = rows[i] == static_cast<int64_t>(i);
  return all ? tensor : tensor.index_select(0, at::tensor(rows, at::kLong).to(tensor.device()));
}

Tensor gathered(const std::vector<Tensor>& parts, const std::vector<Place>& places,
                const Tensor& like) {
  const auto known =
      std::find_if(parts.begin(), parts.end(), [](const Tensor& t) { return t.defined(); });
  if (known == parts.end()) return like;
  if (parts.size() == 1) {
    std::vector<int64_t> rows;
    for (const auto& place : places) rows.push_back(place.row);
    return rows_of(parts[0], rows);
  }
  // Of tensors with entries, the most; the others have equal shapes anyway.
  int64_t most = 0;
  const auto used = [&](const Place& p) { return parts[p.part].defined(); };
  for (const auto& p : places) {
    if (used(p) && parts[p.part].dim() > 1) most = std::max(most, parts[p.part].size(1));
  }
  auto shape = known->sizes().vec();
  shape[0] = static_cast<int64_t>(places.size());
  if (shape.size() > 1) shape[1] = most;
  auto result = known->new_zeros(shape);
  for (size_t i = 0; i < places.size(); ++i) {
    if (!used(places[i])) continue;
    const auto row = parts[places[i].part].select(0, places[i].row);
    auto target = result.select(0, static_cast<int64_t>(i));
    (row.dim() > 0 ? target.narrow(0, 0, row.size(0)) : target).copy_(row.detach());
  }
  return result;
}

void Regrouping::add(const std::vector<int64_t>& group, int64_t length) {
  length_ = length;
  std::vector<int64_t> steps;
  for (const int64_t document : group) {
    for (int64_t step = documents_.begin(document); step < documents_.end(document); ++step) {
      steps.push_back(step);
    }
  }
  is_whole_ =
      length == documents_.time() && static_cast<int64_t>(group.size()) == documents_.batch();
  taken_.insert(taken_.end(), steps.begin(), steps.end());
  index_ = is_whole_ ? Tensor() : at::tensor(steps, at::kLong);
}

Tensor Regrouping::take(const Tensor& tensor) const {
  if (is_whole_) return tensor;
  return tensor.flatten(0, 1)
      .index_select(0, index_.to(tensor.device()))
      .unflatten(0, {-1, length_});
}

Tensor Regrouping::put_back(const std::vector<Tensor>& groups) const {
  if (groups.size() == 1 && is_whole_) return groups[0];
  std::vector<Tensor> flat;
  for (const auto& g : groups) flat.push_back(g.flatten(0, 1));
  std::vector<int64_t> place(taken_.size());
  for (size_t i = 0; i < taken_.size(); ++i) {
    place[static_cast<size_t>(taken_[i])] = static_cast<int64_t>(i);
  }
  const auto all = at::cat(flat, 0);
  return all.index_select(0, at::tensor(place, at::kLong).to(all.device()))
      .unflatten(0, {documents_.batch(), documents_.time()});
}

}  // namespace gamut::memory_cache
