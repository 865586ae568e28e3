// Softmax attention as a layer: grouped heads, rotary positions, query and key norms; causal over
// its own input, or over an encoder's output.
#pragma once

#include <gamut/documents.h>
#include <gamut/encoder_memory.h>
#include <gamut/mixer.h>
#include <gamut/plugin.h>
#include <gamut/weight_layouts.h>

#include <string>
#include <vector>

#include "rope.h"

namespace gamut::attention {

class Attention final : public Mixer, public MemoryReader, public WeightImport {
 public:
  static OptionTable options();
  Attention(const Options& options, Host& host);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  // "k", "v" [batch, n_kv_heads, steps, head_dim], keys normalised and rotated. Self-attention:
  // "position", int64 [batch] on the CPU, how many steps of its current document each row has read;
  // with a window k and v are a ring. Cross-attention: "lengths", int64 [batch] on the CPU.
  State new_state(int64_t batch) const override;
  void* query(std::string_view id) override;

  // With cross = true; otherwise `query` does not offer it.
  int64_t d_memory() const override { return d_memory_; }
  at::Tensor forward_with_memory(const at::Tensor& x, const EncoderMemory& memory,
                                 MixerContext& context) override;

  // The layouts are in layouts.cpp.
  std::optional<NamedTensors> import_weights(const NamedTensors& given) const override;

 private:
  struct Projection {
    at::Tensor weight, bias;  // no bias: undefined
  };
  // Keys and values of a call, [rows, kv_heads, steps, head_dim].
  struct Keys {
    at::Tensor k, v;
  };
  // The same with what a state has of earlier steps in front.
  struct AllKeys {
    Keys keys;
    int64_t cached;               // steps
    std::vector<int64_t> before;  // of these, how many belong to the row's first document
  };

  void register_projections(const Options& options);
  void check_input(const at::Tensor& x) const;
  at::Tensor heads_of(const at::Tensor& x, const Projection& projection, int64_t count) const;
  at::Tensor positioned(const at::Tensor& heads, const at::Tensor& norm, const at::Tensor& gain,
                        const Angles& angles) const;
  at::Tensor output(const at::Tensor& heads, const MixerContext& context) const;
  double weight_dropout(const MixerContext& context) const;

  // Self-attention.
  at::Tensor positions(const std::vector<int64_t>& read, const Documents& documents,
                       const MixerContext& context, at::Device device) const;
  AllKeys with_cached(const Keys& now, const std::vector<int64_t>& read, State& state) const;
  AllKeys with_ring(const Keys& now, const std::vector<int64_t>& read, State& state) const;
  void advance(State& state, std::vector<int64_t> read, const Documents& documents) const;

  // Cross-attention.
  struct Memories {
    Keys keys;
    std::vector<int64_t> lengths, entries;  // of each document
  };
  at::Tensor attend_memory(const at::Tensor& x, const EncoderMemory* memory,
                           MixerContext& context) const;
  Memories memories_of(const EncoderMemory& memory, const at::Tensor& x,
                       const MixerContext& context) const;
  Memories memories_of(const State& state) const;
  void keep(const Memories& memories, const Documents& documents, State& state) const;

  int64_t d_model_, heads_, kv_heads_, head_dim_, window_;
  bool cross_;
  int64_t d_memory_;
  std::string qk_norm_;
  double qk_norm_eps_, dropout_, attn_dropout_, scale_;
  Rope rope_;
  Projection q_, k_, v_, o_;
  at::Tensor q_norm_, k_norm_, q_gain_;
};

}  // namespace gamut::attention
