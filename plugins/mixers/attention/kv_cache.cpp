// Growing keys and values; see kv_cache.h.
#include "kv_cache.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace gamut::attention {

using at::Tensor;

namespace {

constexpr int64_t kLeastRoom = 64;

// How many steps fit from the first of `cache` to the end of the buffer that it is a view of: rows
// lie a whole buffer apart. A tensor of any other layout has no room.
int64_t capacity(const Tensor& cache) {
  const int64_t batch = cache.size(0), heads = cache.size(1), d = cache.size(3);
  const int64_t room = cache.stride(1) / d;
  if (room == 0 || cache.stride(3) != 1 || cache.stride(2) != d || cache.stride(1) != room * d ||
      cache.stride(0) != heads * cache.stride(1)) {
    return 0;
  }
  const int64_t skipped = cache.storage_offset() % (room * d);
  const int64_t end = cache.storage_offset() - skipped + batch * heads * room * d;
  const int64_t held = static_cast<int64_t>(cache.storage().nbytes() / cache.itemsize());
  return end <= held && skipped % d == 0 ? room - skipped / d : 0;
}

}  // namespace

Tensor append(const Tensor& cache, const Tensor& added, int64_t window) {
  const int64_t steps = cache.size(2), more = added.size(2);
  const auto shape = [&](int64_t n) {
    return std::vector<int64_t>{added.size(0), added.size(1), n, added.size(3)};
  };
  const int64_t keep = window > 0 ? std::min(steps, window - 1) : steps;
  const auto kept = cache.narrow(2, steps - keep, keep);
  if (at::GradMode::is_enabled()) return at::cat({kept.to(added.scalar_type()), added}, 2);

  if (cache.scalar_type() == added.scalar_type() && steps + more <= capacity(cache)) {
    auto grown = cache.as_strided(shape(steps + more), cache.strides());
    grown.narrow(2, steps, more).copy_(added);
    return grown;
  }
  auto buffer = at::empty(shape(std::max(kLeastRoom, 2 * (keep + more))), added.options());
  buffer.narrow(2, 0, keep).copy_(kept);
  buffer.narrow(2, keep, more).copy_(added);
  return buffer.narrow(2, 0, keep + more);
}

}  // namespace gamut::attention
