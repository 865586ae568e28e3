// Packed documents of a call: MixerContext::cu_seqlens checked and in a form to compute with.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <gamut/error.h>

#include <cstdint>
#include <vector>

namespace gamut {

// Empty documents are left out: nothing flows from or to them. Without cu_seqlens each row of the
// batch is one document.
class Documents {
 public:
  // Throws gamut::Error when cu_seqlens is not what MixerContext asks for.
  Documents(const at::Tensor& cu_seqlens, int64_t batch, int64_t time)
      : batch_(batch), time_(time) {
    if (!cu_seqlens.defined()) {
      for (int64_t row = 0; row <= batch; ++row) offsets_.push_back(row * time);
      return;
    }
    packed_ = true;
    GAMUT_CHECK(cu_seqlens.dim() == 1 && cu_seqlens.scalar_type() == at::kLong &&
                    cu_seqlens.device().is_cpu() && cu_seqlens.numel() >= 2,
                "cu_seqlens must be a list of at least two int64 offsets on the CPU, not ",
                cu_seqlens.scalar_type(), " ", cu_seqlens.sizes(), " on ", cu_seqlens.device());
    read(cu_seqlens.contiguous());
  }

  // Whether cu_seqlens was given at all.
  bool packed() const { return packed_; }
  int64_t batch() const { return batch_; }
  int64_t time() const { return time_; }
  int64_t size() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  // Document i is the flattened steps [begin(i), end(i)), never none.
  int64_t begin(int64_t i) const { return offsets_[i]; }
  int64_t end(int64_t i) const { return offsets_[i + 1]; }
  const std::vector<int64_t>& offsets() const { return offsets_; }
  // The row of the batch that document i lies in, and whether it is that row's first.
  int64_t row(int64_t i) const { return begin(i) / time_; }
  bool is_first(int64_t i) const { return begin(i) % time_ == 0; }
  bool is_last(int64_t i) const { return end(i) % time_ == 0; }

  // Int64 [documents + 1] on the CPU; undefined when not packed.
  at::Tensor cu_seqlens() const { return packed_ ? at::tensor(offsets_, at::kLong) : at::Tensor(); }

  // The first and the last document of every row, int64 [batch] on the CPU.
  at::Tensor first_of_row() const { return of_row(&Documents::is_first); }
  at::Tensor last_of_row() const { return of_row(&Documents::is_last); }

  // For every step, int64 [batch, time] on the CPU: how far into its document it is.
  at::Tensor position_in_document() const {
    auto positions = at::empty({batch_, time_}, at::kLong);
    auto* out = positions.mutable_data_ptr<int64_t>();
    for (int64_t i = 0; i < size(); ++i) {
      for (int64_t step = begin(i); step < end(i); ++step) out[step] = step - begin(i);
    }
    return positions;
  }

 private:
  void read(const at::Tensor& cu_seqlens) {
    const auto* given = cu_seqlens.const_data_ptr<int64_t>();
    const int64_t count = cu_seqlens.numel(), steps = batch_ * time_;
    GAMUT_CHECK(given[0] == 0 && given[count - 1] == steps, "cu_seqlens must run from 0 to ", steps,
                " (batch * time); it runs from ", given[0], " to ", given[count - 1]);
    int64_t next_row = time_;  // the row start that has to come
    offsets_.push_back(0);
    for (int64_t i = 1; i < count; ++i) {
      GAMUT_CHECK(given[i] >= given[i - 1], "cu_seqlens must not decrease, but entry ", i, " is ",
                  given[i], " after ", given[i - 1]);
      GAMUT_CHECK(given[i] <= next_row, "cu_seqlens must contain every row start, but ", next_row,
                  " is missing: a document cannot run over the end of a row");
      if (given[i] == next_row) next_row += time_;
      if (given[i] > given[i - 1]) offsets_.push_back(given[i]);
    }
  }

  at::Tensor of_row(bool (Documents::*chosen)(int64_t) const) const {
    std::vector<int64_t> found;
    for (int64_t i = 0; i < size(); ++i) {
      if ((this->*chosen)(i)) found.push_back(i);
    }
    return at::tensor(found, at::kLong);
  }

  int64_t batch_, time_;
  bool packed_ = false;
  std::vector<int64_t> offsets_;
};

}  // namespace gamut
