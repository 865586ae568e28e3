// Attention over an encoder's output: keys and values come from a memory, which every step sees.
#include <ATen/ATen.h>

#include "attend.h"
#include "attention.h"

namespace gamut::attention {

using at::Tensor;

namespace {

// Which of the given entries each document that is not empty has.
std::vector<int64_t> entries_of(const Documents& documents, const Tensor& cu_seqlens) {
  std::vector<int64_t> entries;
  if (!documents.packed()) {
    for (int64_t row = 0; row < documents.batch(); ++row) entries.push_back(row);
    return entries;
  }
  const auto offsets = cu_seqlens.contiguous();
  const auto* given = offsets.const_data_ptr<int64_t>();
  for (int64_t i = 0; i + 1 < offsets.numel(); ++i) {
    if (given[i + 1] > given[i]) entries.push_back(i);
  }
  return entries;
}

std::vector<int64_t> checked_lengths(const EncoderMemory& memory) {
  const int64_t entries = memory.values.size(0), steps = memory.values.size(1);
  const auto& given = memory.lengths;
  if (!given.defined()) return std::vector<int64_t>(entries, steps);
  GAMUT_CHECK(given.dim() == 1 && given.size(0) == entries && given.scalar_type() == at::kLong &&
                  given.device().is_cpu(),
              "the lengths of the memory must be int64 [", entries, "] on the CPU, not ",
              given.scalar_type(), " ", given.sizes(), " on ", given.device());
  const auto contiguous = given.contiguous();
  const auto* values = contiguous.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < entries; ++i) {
    GAMUT_CHECK(values[i] >= 0 && values[i] <= steps, "length ", i, " of the memory is ", values[i],
                "; it must be 0 to ", steps, ", the steps that there are");
  }
  return {values, values + entries};
}

std::vector<int64_t> of_entries(const std::vector<int64_t>& lengths,
                                const std::vector<int64_t>& entries) {
  std::vector<int64_t> result;
  for (const int64_t entry : entries) result.push_back(lengths[entry]);
  return result;
}

}  // namespace

Attention::Memories Attention::memories_of(const EncoderMemory& memory, const Tensor& x,
                                           const MixerContext& context) const {
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const int64_t entries = documents.packed() ? context.cu_seqlens.numel() - 1 : x.size(0);
  const auto& m = memory.values;
  GAMUT_CHECK(m.defined() && m.dim() == 3 && m.size(0) == entries && m.size(1) >= 1 &&
                  m.size(2) == d_memory_,
              "the memory must be [", entries, documents.packed() ? " documents" : " rows",
              ", steps >= 1, d_memory = ", d_memory_, "], not ",
              m.defined() ? m.sizes() : at::IntArrayRef());
  GAMUT_CHECK(m.scalar_type() == x.scalar_type() && m.device() == x.device(), "the memory is ",
              m.scalar_type(), " on ", m.device(), " and x is ", x.scalar_type(), " on ",
              x.device(), "; convert one of them");
  const auto none =
      angles_of(at::arange(m.size(1), m.options().dtype(at::kLong)), rope_,
                m.scalar_type() == at::kDouble ? at::kDouble : at::kFloat, m.device());
  const auto k = positioned(heads_of(m, k_, kv_heads_), k_norm_, Tensor(), none);
  const auto chosen = entries_of(documents, context.cu_seqlens);
  return {{k.transpose(1, 2), heads_of(m, v_, kv_heads_).transpose(1, 2)},
          of_entries(checked_lengths(memory), chosen),
          chosen};
}

Attention::Memories Attention::memories_of(const State& state) const {
  const auto lengths = state["lengths"].cpu().contiguous();
  const auto* values = lengths.const_data_ptr<int64_t>();
  Memories result{{state["k"], state["v"]}, {values, values + lengths.numel()}, {}};
  for (int64_t row = 0; row < lengths.numel(); ++row) result.entries.push_back(row);
  return result;
}

// The memory is projected once for a state, in the first call.
Tensor Attention::attend_memory(const Tensor& x, const EncoderMemory* memory,
                                MixerContext& context) const {
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  State* const state = context.state;
  if (state) {
    const auto& kept = (*state)["k"];
    GAMUT_CHECK(kept.size(0) == x.size(0), "the state is for ", kept.size(0),
                " rows, the input has ", x.size(0));
  }
  const bool has_kept = state && (*state)["k"].size(2) > 0;
  GAMUT_CHECK(memory || (has_kept && !documents.packed()),
              "this attention reads a memory; give context.memory, ",
              documents.packed() ? "an entry for each packed document"
                                 : "an entry for each row, at least in a state's first call");
  const bool uses_kept = has_kept && !documents.packed();
  const auto m = uses_kept ? memories_of(*state) : memories_of(*memory, x, context);
  if (uses_kept && memory) {
    GAMUT_CHECK(memory->values.dim() == 3 && memory->values.size(0) == x.size(0) &&
                    memory->values.size(1) == m.keys.k.size(2),
                "the state keeps a memory of ", m.keys.k.size(2), " steps and another one, ",
                memory->values.sizes(), ", is given; make a new state for it");
  }
  const auto none =
      angles_of(at::arange(x.size(1), x.options().dtype(at::kLong)), rope_,
                x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat, x.device());
  const auto q = positioned(heads_of(x, q_, heads_), q_norm_, q_gain_, none).transpose(1, 2);
  if (state) {
    keep(m, documents, *state);
    state->position += documents.time();
  }
  const auto seen = memory_spans(documents, m.lengths, m.entries);
  return output(attend(q, m.keys.k, m.keys.v, seen, scale_, weight_dropout(context)), context);
}

// The memory of each row's last document.
void Attention::keep(const Memories& m, const Documents& documents, State& state) const {
  std::vector<int64_t> entries, lengths;
  for (int64_t i = 0; i < documents.size(); ++i) {
    if (!documents.is_last(i)) continue;
    entries.push_back(m.entries[i]);
    lengths.push_back(m.lengths[i]);
  }
  const auto chosen = [&](const Tensor& x) {
    if (!documents.packed()) return x.detach();
    return x.detach().index_select(0, at::tensor(entries, at::kLong).to(x.device()));
  };
  state["k"] = chosen(m.keys.k);
  state["v"] = chosen(m.keys.v);
  state["lengths"] = at::tensor(lengths, at::kLong);
}

Tensor Attention::forward_with_memory(const Tensor& x, const EncoderMemory& memory,
                                      MixerContext& context) {
  return attend_memory(x, &memory, context);
}

}  // namespace gamut::attention
