// Steps and rows moved about: documents of one geometry side by side, and back in their places.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/documents.h>

#include <vector>

namespace gamut::memory_cache {

// Those rows of a tensor; itself when they are all rows in order.
at::Tensor rows_of(const at::Tensor& tensor, const std::vector<int64_t>& rows);

// A row of one of several tensors.
struct Place {
  size_t part;
  int64_t row;
};

// Row i is that of `places[i]` in `parts`. An undefined part has no entries on dimension 1; where
// parts have fewer than others, zeros are added behind. `like` gives the shape when all are
// undefined.
at::Tensor gathered(const std::vector<at::Tensor>& parts, const std::vector<Place>& places,
                    const at::Tensor& like);

// Takes the documents of a batch apart into groups, and puts results back together.
class Regrouping {
 public:
  explicit Regrouping(const Documents& documents) : documents_(documents) {}

  // Begins the next group: documents of equal length.
  void add(const std::vector<int64_t>& group, int64_t length);
  // The group's steps of [batch, time, ...] as [documents, length, ...].
  at::Tensor take(const at::Tensor& tensor) const;
  // From a tensor [documents, length, ...] for each group in order, [batch, time, ...].
  at::Tensor put_back(const std::vector<at::Tensor>& groups) const;

 private:
  const Documents& documents_;
  bool is_whole_ = false;  // the group is the batch as it is
  int64_t length_ = 0;
  std::vector<int64_t> taken_;  // flattened steps of all groups so far
  at::Tensor index_;            // those of the last one
};

}  // namespace gamut::memory_cache
