// How sequences are cut into chunks: the layout that the chunked operator works in.
//
// Chunks of all sequences lie in one batch, ordered by chunk index first, so that step i of the
// scan over chunks is one contiguous slice. Sequences are sorted from long to short; those that
// still have a chunk i are then a prefix, and nothing is wasted on short documents but the tail of
// their last chunk, which is zero.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace gamut::ops {

class ChunkPlan {
 public:
  // cu_seqlens: int64 offsets into the flattened [batch * time] steps, or undefined where each row
  // is one sequence.
  ChunkPlan(int64_t batch, int64_t time, const at::Tensor& cu_seqlens, int64_t chunk_size,
            at::Device device);

  int64_t chunk_size() const { return chunk_size_; }
  int64_t sequences() const { return sequences_; }
  int64_t chunks() const { return chunks_; }  // of all sequences
  // active()[i]: how many of the sorted sequences have a chunk i.
  const std::vector<int64_t>& active() const { return active_; }

  // x [batch, time, heads, d] -> packed [chunks * heads * repeat, chunk_size, d], a preallocated
  // view of any dtype; each head is written `repeat` times in a row. Slots past the end of a
  // sequence are set to zero.
  void pack(const at::Tensor& x, int64_t repeat, const at::Tensor& packed) const;
  // The reverse; copies of one head are summed. Gives dtype of `packed`.
  at::Tensor unpack(const at::Tensor& packed, int64_t heads, int64_t repeat) const;

  // One entry a sequence along the first dimension, from the caller's order to the sorted one and
  // back. Both return a new tensor.
  at::Tensor sort(const at::Tensor& x) const;
  at::Tensor unsort(const at::Tensor& x) const;

 private:
  void plan_documents(const at::Tensor& cu_seqlens, at::Device device);

  int64_t batch_, time_, chunk_size_;
  int64_t sequences_ = 0, chunks_ = 0;
  std::vector<int64_t> active_;
  // Defined for packed documents only.
  at::Tensor order_, rank_;  // sorted -> caller's, and its inverse
  at::Tensor slot_;          // [batch * time]: where each step lies in [chunks * chunk_size]
};

}  // namespace gamut::ops
