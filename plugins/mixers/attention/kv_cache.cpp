// Keys and values of a state; see kv_cache.h.
#include "kv_cache.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

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

Tensor append(const Tensor& cache, const Tensor& added) {
  const int64_t steps = cache.size(2), more = added.size(2);
  const auto shape = [&](int64_t n) {
    return std::vector<int64_t>{added.size(0), added.size(1), n, added.size(3)};
  };
  if (at::GradMode::is_enabled()) return at::cat({cache.to(added.scalar_type()), added}, 2);

  if (cache.scalar_type() == added.scalar_type() && steps + more <= capacity(cache)) {
    auto grown = cache.as_strided(shape(steps + more), cache.strides());
    grown.narrow(2, steps, more).copy_(added);
    return grown;
  }
  auto buffer = at::empty(shape(std::max(kLeastRoom, 2 * (steps + more))), added.options());
  buffer.narrow(2, 0, steps).copy_(cache);
  buffer.narrow(2, steps, more).copy_(added);
  return buffer.narrow(2, 0, steps + more);
}

Tensor latest(const Tensor& ring, int64_t written, int64_t window, int64_t count) {
  const int64_t begin = written - count;
  if (written <= window) return ring.narrow(2, begin, count);
  const int64_t slot = begin % window, before_end = std::min(count, window - slot);
  const auto first = ring.narrow(2, slot, before_end);
  if (before_end == count) return first;
  return at::cat({first, ring.narrow(2, 0, count - before_end)}, 2);
}

Tensor write(const Tensor& ring, const Tensor& added, int64_t written, int64_t window) {
  const int64_t more = added.size(2);
  if (written + more <= window) return append(ring, added);
  if (more == 1 && ring.size(2) == window && ring.scalar_type() == added.scalar_type() &&
      !at::GradMode::is_enabled()) {
    ring.narrow(2, written % window, 1).copy_(added);
    return ring;
  }
  const int64_t kept = std::max<int64_t>(0, std::min(written, window - more));
  const auto last =
      at::cat({latest(ring, written, window, kept).to(added.scalar_type()),
               added.narrow(2, std::max<int64_t>(0, more - window), std::min(more, window))},
              2);
  return at::roll(last, (written + more) % window,
                  2);  // as last[0] is step written + more - window
}

}  // namespace gamut::attention
