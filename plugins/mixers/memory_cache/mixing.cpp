// Eq. 6 to 17 of the paper (arXiv 2602.24281); README.md has them.
#include "mixing.h"

#include <ATen/ATen.h>

#include <limits>
#include <utility>

#include "recompute.h"
#include "sparse.h"

namespace gamut::memory_cache {

using at::Tensor;

namespace {

// How many times fewer reads there must be for steps to be moved into tiles.
constexpr int64_t kWorthMoving = 3;

// Gates [rows, time, n] of cached memories and [rows, time] of the online one.
struct Gates {
  Tensor cached;
  Tensor online;
  Tensor chosen;  // sparse: [rows, time, top_k], which of the cached ones; undefined: all
};

// Scores of all but the chosen cached segments become -infinity.
Tensor keep_chosen(const Tensor& scores, const Tensor& chosen) {
  const auto dropped = at::ones_like(scores, at::kBool).scatter_(2, chosen, false);
  return scores.masked_fill(dropped, -std::numeric_limits<double>::infinity());
}

// Softmax over the cached segments and the online one; for sparse, those of all but the top_k
// cached segments are 0.
Gates gates(const Settings& settings, const Stretch& stretch, const Tensor& means) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const int64_t n = means.size(1);
  Gates result;
  auto cached = at::matmul(stretch.u, means.transpose(1, 2));
  if (settings.aggregation == Aggregation::sparse && n > settings.top_k) {
    result.chosen = std::get<1>(cached.topk(settings.top_k, 2));
    cached = keep_chosen(cached, result.chosen);
  }
  const auto online = (stretch.u * stretch.mean).sum(2, /*keepdim=*/true);
  const auto weights = at::softmax(at::cat({cached, online}, 2), 2);
  result.cached = weights.narrow(2, 0, n);
  result.online = weights.select(2, n);
  return result;
}

// Reads times weights of as many leading dimensions.
Tensor weighted(const Tensor& read, const Tensor& weight) {
  auto shape = weight.sizes().vec();
  shape.resize(static_cast<size_t>(read.dim()), 1);
  return read * weight.view(shape);
}

// The memories that a single step chose, in the order of its scores: only they are read.
Memory of_one_step(const Memory& memories, const Tensor& chosen) {
  Memory few;
  for (const auto& m : memories) {
    auto shape = m.sizes().vec();
    shape[1] = chosen.size(1);
    std::vector<int64_t> indices(shape.size(), 1);
    std::copy_n(shape.begin(), 2, indices.begin());
    few.push_back(m.gather(1, chosen.view(indices).expand(shape)));
  }
  return few;
}

// The mixed read of one stretch, whose cache is not empty, from all cached memories. Sums are in
// the dtype of the gates, which is that of computation, whatever that of the reads is.
Tensor mixed(const Settings& settings, Recurrent& recurrent, const Stretch& stretch,
             const Cache& cache) {
  const auto dtype = stretch.online.scalar_type();
  if (settings.aggregation == Aggregation::residual) {
    const auto reads = recurrent.normalize(recurrent.read(stretch.features, cache.memories));
    const auto wide = at::promote_types(dtype, at::kFloat);
    return (recurrent.normalize(stretch.online) + reads.sum(2, false, wide)).to(dtype);
  }
  auto [weights, online_weight, chosen] = gates(settings, stretch, cache.means);
  Memory memories = cache.memories;
  if (chosen.defined() && stretch.online.size(1) == 1) {
    weights = weights.gather(2, chosen);
    memories = of_one_step(memories, chosen.squeeze(1));
  }
  const auto reads = recurrent.read(stretch.features, memories);
  if (settings.aggregation == Aggregation::soup) {
    return recurrent
        .normalize(weighted(reads, weights).sum(2) + weighted(stretch.online, online_weight))
        .to(dtype);
  }
  return (weighted(recurrent.normalize(reads), weights).sum(2) +
          weighted(recurrent.normalize(stretch.online), online_weight))
      .to(dtype);
}

// Stretch and cache as a list of tensors for autograd, and their form without tensors.
template <class Each>
void each_tensor(Stretch& stretch, Cache& cache, const Each& each) {
  for (auto& f : stretch.features) each(f.tensor);
  for (auto& m : cache.memories) each(m);
  for (Tensor* t : {&stretch.online, &stretch.u, &stretch.mean, &cache.means}) {
    if (t->defined()) each(*t);
  }
}

Tensor mixed_for_gradients(const Settings& settings, const Reader& reader, Stretch stretch,
                           Cache cache) {
  std::vector<Tensor> inputs;
  const auto nothing = at::empty({0});
  each_tensor(stretch, cache, [&](Tensor& t) { inputs.push_back(std::exchange(t, nothing)); });
  const auto compute = [settings, recurrent = reader.recurrent, stretch,
                        cache](const std::vector<Tensor>& tensors) {
    auto s = stretch;
    auto c = cache;
    size_t next = 0;
    each_tensor(s, c, [&](Tensor& t) { t = tensors[next++]; });
    return mixed(settings, *recurrent, s, c);
  };
  return recomputed(compute, inputs, reader.parameters);
}

// The reads [rows * chosen, ...] of tiles.
Tensor read_for_gradients(const Reader& reader, const Tiles& tiles, const NamedTensors& features,
                          const Memory& pool) {
  std::vector<Tensor> inputs = pool;
  std::vector<std::string> names;
  for (const auto& f : features) {
    inputs.push_back(f.tensor);
    names.push_back(f.name);
  }
  const auto compute = [recurrent = reader.recurrent, tiles, names,
                        n = pool.size()](const std::vector<Tensor>& tensors) {
    NamedTensors named;
    for (size_t i = 0; i < names.size(); ++i) named.push_back({names[i], tensors[n + i]});
    const auto end_of_pool = tensors.begin() + static_cast<int64_t>(n);
    return read_tiles(*recurrent, tiles, named, {tensors.begin(), end_of_pool});
  };
  return recomputed(compute, inputs, reader.parameters);
}

// The stretches of which the chosen memories alone are read: those that see more than top_k
// constant segments, where that saves enough; otherwise none.
std::vector<size_t> to_be_tiled(const Settings& settings, const std::vector<Piece>& pieces,
                                const Caches& caches) {
  if (settings.aggregation != Aggregation::sparse || caches.all.size == 0) return {};
  std::vector<size_t> list;
  int64_t all = 0, chosen = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t n = caches.seen[i].size;
    if (n <= settings.top_k) continue;
    list.push_back(i);
    all += pieces[i].length * n;
    chosen += pieces[i].length * settings.top_k;
  }
  const int64_t places = chosen + caches.all.size * tile_length(chosen, caches.all.size) / 2;
  return places * kWorthMoving <= all ? list : std::vector<size_t>();
}

// Puts the mixed reads of those stretches in `reads`.
void mix_tiled(const Settings& settings, const Reader& reader, const CutFeatures& features,
               const std::vector<Piece>& pieces, const std::vector<Stretch>& stretches,
               const Caches& caches, const std::vector<size_t>& list, std::vector<Tensor>& reads) {
  std::vector<Tensor> ids, weights;
  std::vector<Tensor> online(list.size());
  std::vector<int64_t> steps, lengths;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& piece = pieces[list[i]];
    const auto& stretch = stretches[list[i]];
    const auto& cache = caches.seen[list[i]];
    const auto [cached, online_weight, chosen] = gates(settings, stretch, cache.means);
    ids.push_back(chosen + cache.first);
    weights.push_back(cached.gather(2, chosen));
    online[i] = weighted(reader.recurrent->normalize(stretch.online), online_weight);
    for (int64_t step = 0; step < piece.length; ++step) steps.push_back(piece.begin + step);
    lengths.push_back(piece.length);
  }
  const auto all_ids = at::cat(ids, 1);
  const int64_t choices = all_ids.size(1) * all_ids.size(2);
  const auto tiles = tiled(all_ids, steps, features.whole.front().tensor.size(1), caches.all.size,
                           tile_length(choices, caches.all.size));
  const auto chosen = read_for_gradients(reader, tiles, features.whole, caches.all.memories)
                          .unflatten(0, all_ids.sizes());
  const auto sums = weighted(chosen, at::cat(weights, 1)).sum(2).split_with_sizes(lengths, 1);
  for (size_t i = 0; i < list.size(); ++i) {
    reads[list[i]] = (sums[i] + online[i]).to(stretches[list[i]].online.scalar_type());
  }
}

}  // namespace

Tensor mix(const Settings& settings, const Reader& reader, const CutFeatures& features,
           const std::vector<Piece>& pieces, const std::vector<Stretch>& stretches,
           const Caches& caches) {
  std::vector<Tensor> reads(stretches.size());
  const auto list = to_be_tiled(settings, pieces, caches);
  if (!list.empty()) {
    mix_tiled(settings, reader, features, pieces, stretches, caches, list, reads);
  }
  for (size_t i = 0; i < stretches.size(); ++i) {
    if (reads[i].defined()) continue;
    reads[i] = caches.seen[i].size == 0
                   ? reader.recurrent->normalize(stretches[i].online)
                   : mixed_for_gradients(settings, reader, stretches[i], caches.seen[i]);
  }
  return at::cat(reads, 1);
}

}  // namespace gamut::memory_cache
