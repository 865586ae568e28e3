// What Mamba-1 and Mamba-2 share: what the layer is around its recurrence, and how states go
// through a call.
#pragma once

#include <gamut/documents.h>
#include <gamut/plugin.h>
#include <gamut/recurrent.h>

#include <optional>
#include <string>

namespace gamut::mamba {

inline std::optional<at::Tensor> if_defined(const at::Tensor& x) {
  return x.defined() ? std::optional<at::Tensor>(x) : std::nullopt;
}

// The recurrence opened for others (recurrent.h), and beside it the usual forward, where the skip
// and the gate are part of the operator. Children have the same four parts; here are the common
// ones of them and of their tensors.
class Layer : public Mixer, public Recurrent {
 public:
  Layer(const Options& options, int64_t default_d_state);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  // "conv" [batch, conv_size - 1, channels], the last inputs of the convolution; "ssm", the state
  // of the recurrence.
  State new_state(int64_t batch) const override;
  void* query(std::string_view id) override;

  std::vector<std::string> memory_names() const override { return {"ssm"}; }

 protected:
  // The recurrence with all that the operator can do besides, from and to states by document;
  // -> what the output projection reads.
  struct Mixed {
    at::Tensor y, state;
  };
  virtual Mixed mix(const NamedTensors& features, const std::optional<at::Tensor>& state,
                    const at::Tensor& cu_seqlens) const = 0;
  virtual std::vector<int64_t> state_shape(int64_t rows) const = 0;

  // Registers `name`.weight [out, in] and, if asked for, `name`.bias, as torch.nn.Linear begins.
  struct Linear {
    at::Tensor weight, bias;
    at::Tensor operator()(const at::Tensor& x) const;
  };
  Linear make_linear(const std::string& name, int64_t in, int64_t out, bool bias, double scale = 1);
  void make_convolution(int64_t channels);
  // softplus of it is log-uniform between dt_min and dt_max, at least dt_init_floor.
  static at::Tensor initial_dt_bias(const Options& options, int64_t size);

  void check_input(const at::Tensor& x) const;
  // silu(conv(x)), continuing from the state and keeping its own.
  at::Tensor convolve(const at::Tensor& x, const Documents& documents, State* state) const;
  // dropout(out_proj y)
  at::Tensor project_out(const at::Tensor& y, const MixerContext& context) const;
  // float32, or float64 for float64 parameters.
  at::ScalarType compute_dtype() const;
  at::Tensor in_compute_dtype(const at::Tensor& x) const { return x.to(compute_dtype()); }
  // -exp(A_log)
  at::Tensor rates() const;

  const int64_t d_model_, d_inner_, d_state_, conv_size_;
  const bool conv_bias_, bias_;
  const double out_init_scale_;
  Linear in_proj_, out_proj_;
  at::Tensor A_log_, D_;

 private:
  const double dropout_;
  at::Tensor conv_weight_, conv_bias_weight_;
};

}  // namespace gamut::mamba
