// Cutting sequences into chunks; see chunk_plan.h.
#include "ops/gated_delta_rule/chunk_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

namespace gamut::ops {

using at::Tensor;

ChunkPlan::ChunkPlan(int64_t batch, int64_t time, const Tensor& cu_seqlens, int64_t chunk_size,
                     at::Device device)
    : batch_(batch), time_(time), chunk_size_(chunk_size) {
  if (cu_seqlens.defined()) {
    plan_documents(cu_seqlens, device);
    return;
  }
  sequences_ = batch;
  active_.assign((time + chunk_size - 1) / chunk_size, batch);
  chunks_ = static_cast<int64_t>(active_.size()) * batch;
}

void ChunkPlan::plan_documents(const Tensor& cu_seqlens, at::Device device) {
  const auto offsets = cu_seqlens.contiguous();
  const auto* start = offsets.const_data_ptr<int64_t>();
  sequences_ = offsets.numel() - 1;
  const auto chunks_of = [&](int64_t s) {
    return (start[s + 1] - start[s] + chunk_size_ - 1) / chunk_size_;
  };

  std::vector<int64_t> order(sequences_), rank(sequences_);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return chunks_of(a) > chunks_of(b); });
  for (int64_t i = 0; i < sequences_; ++i) rank[order[i]] = i;

  std::vector<int64_t> first_chunk;  // of each step of the scan
  for (int64_t left = sequences_, step = 0;; ++step) {
    while (left > 0 && chunks_of(order[left - 1]) <= step) --left;
    if (left == 0) break;
    first_chunk.push_back(chunks_);
    active_.push_back(left);
    chunks_ += left;
  }

  auto slot = at::empty({batch_ * time_}, at::kLong);
  auto* out = slot.mutable_data_ptr<int64_t>();
  for (int64_t s = 0; s < sequences_; ++s) {
    for (int64_t i = 0; i < start[s + 1] - start[s]; ++i) {
      const int64_t chunk = first_chunk[i / chunk_size_] + rank[s];
      out[start[s] + i] = chunk * chunk_size_ + i % chunk_size_;
    }
  }
  slot_ = slot.to(device);
  order_ = at::tensor(order, at::kLong).to(device);
  rank_ = at::tensor(rank, at::kLong).to(device);
}

void ChunkPlan::pack(const Tensor& x, int64_t repeat, const Tensor& packed) const {
  const int64_t heads = x.size(2), d = x.size(3);
  const int64_t steps = active_.size();
  if (slot_.defined()) {
    auto flat = at::zeros({chunks_ * chunk_size_, heads, d}, x.options());
    flat.index_copy_(0, slot_, x.reshape({-1, heads, d}));
    auto source = flat.view({chunks_, chunk_size_, heads, 1, d}).permute({0, 2, 3, 1, 4});
    packed.view({chunks_, heads, repeat, chunk_size_, d}).copy_(source);
    return;
  }
  const auto target = packed.view({steps, batch_, heads, repeat, chunk_size_, d});
  const int64_t whole = time_ / chunk_size_, tail = time_ % chunk_size_;
  if (whole > 0) {
    auto source = x.narrow(1, 0, whole * chunk_size_)
                      .unflatten(1, {whole, chunk_size_})
                      .unsqueeze(4)
                      .permute({1, 0, 3, 4, 2, 5});
    target.narrow(0, 0, whole).copy_(source);
  }
  if (tail > 0) {
    auto last = target.select(0, whole);
    last.narrow(3, 0, tail)
        .copy_(x.narrow(1, whole * chunk_size_, tail).unsqueeze(3).permute({0, 2, 3, 1, 4}));
    last.narrow(3, tail, chunk_size_ - tail).zero_();
  }
}

Tensor ChunkPlan::unpack(const Tensor& packed, int64_t heads, int64_t repeat) const {
  const int64_t d = packed.size(2);
  const int64_t steps = active_.size();
  if (slot_.defined()) {
    auto x = packed.view({chunks_, heads, repeat, chunk_size_, d});
    auto summed = repeat == 1 ? x.squeeze(2) : x.sum(2);
    return summed.transpose(1, 2)
        .reshape({chunks_ * chunk_size_, heads, d})
        .index_select(0, slot_)
        .view({batch_, time_, heads, d});
  }
  auto x = packed.view({steps, batch_, heads, repeat, chunk_size_, d});
  auto summed = repeat == 1 ? x.squeeze(3) : x.sum(3);
  return summed.permute({1, 0, 3, 2, 4})
      .reshape({batch_, steps * chunk_size_, heads, d})
      .narrow(1, 0, time_);
}

Tensor ChunkPlan::sort(const Tensor& x) const {
  return order_.defined() ? x.index_select(0, order_) : x.clone();
}

Tensor ChunkPlan::unsort(const Tensor& x) const {
  return rank_.defined() ? x.index_select(0, rank_) : x;
}

}  // namespace gamut::ops
