// Eq. 6 to 17 of the paper (arXiv 2602.24281) for a stretch of steps; README.md has them.
#include "mixing.h"

#include <ATen/ATen.h>

namespace gamut::memory_cache {

using at::Tensor;

namespace {

// Scores of all but the top_k cached segments become -infinity.
Tensor keep_top(const Tensor& scores, int64_t top_k) {
  if (scores.size(2) <= top_k) return scores;
  const auto chosen = std::get<1>(scores.topk(top_k, 2));
  const auto dropped = at::ones_like(scores, at::kBool).scatter_(2, chosen, false);
  return scores.masked_fill(dropped, -std::numeric_limits<double>::infinity());
}

// Weights [rows, time, n] times reads [rows, time, n, ...], summed over n.
Tensor weighted_sum(const Tensor& reads, const Tensor& weights) {
  auto shape = weights.sizes().vec();
  shape.resize(static_cast<size_t>(reads.dim()), 1);
  return (reads * weights.view(shape)).sum(2);
}

Tensor weighted(const Tensor& read, const Tensor& weight) {
  auto shape = weight.sizes().vec();
  shape.resize(static_cast<size_t>(read.dim()), 1);
  return read * weight.view(shape);
}

// The memories that a single step chose, in the order of its scores: only they are read.
Cache chosen(const Cache& cache, const Tensor& indices) {
  Cache few;
  few.size = indices.size(1);
  for (const auto& m : cache.memories) {
    auto shape = m.sizes().vec();
    std::fill(shape.begin() + 2, shape.end(), 1);
    shape[1] = few.size;
    auto index = indices.view(shape);
    shape = m.sizes().vec();
    shape[1] = few.size;
    few.memories.push_back(m.gather(1, index.expand(shape)));
  }
  return few;
}

}  // namespace

Tensor gates(const Settings& settings, const Stretch& stretch, const Tensor& means) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  auto cached = at::matmul(stretch.u, means.transpose(1, 2));
  if (settings.aggregation == Aggregation::sparse) cached = keep_top(cached, settings.top_k);
  const auto online = (stretch.u * stretch.mean).sum(2, /*keepdim=*/true);
  return at::softmax(at::cat({cached, online}, 2), 2);
}

Tensor mix(const Settings& settings, Recurrent& recurrent, const Stretch& stretch,
           const Cache& cache) {
  if (cache.size == 0) return recurrent.normalize(stretch.online);
  if (settings.aggregation == Aggregation::residual) {
    const auto reads = recurrent.normalize(recurrent.read(stretch.features, cache.memories));
    return recurrent.normalize(stretch.online) + reads.sum(2);
  }
  auto weights = gates(settings, stretch, cache.means);
  auto online_weight = weights.select(2, cache.size);
  auto cached_weights = weights.narrow(2, 0, cache.size);
  Cache read_from = cache;
  const bool one_step = stretch.online.size(1) == 1;
  if (settings.aggregation == Aggregation::sparse && one_step && cache.size > settings.top_k) {
    const auto [kept, indices] = cached_weights.topk(settings.top_k, 2);
    read_from = chosen(cache, indices.squeeze(1));
    cached_weights = kept;
  }
  auto reads = recurrent.read(stretch.features, read_from.memories);
  cached_weights = cached_weights.to(reads.scalar_type());
  online_weight = online_weight.to(reads.scalar_type());
  if (settings.aggregation == Aggregation::soup) {
    return recurrent.normalize(weighted_sum(reads, cached_weights) +
                               weighted(stretch.online, online_weight));
  }
  return weighted_sum(recurrent.normalize(reads), cached_weights) +
         weighted(recurrent.normalize(stretch.online), online_weight);
}

}  // namespace gamut::memory_cache
