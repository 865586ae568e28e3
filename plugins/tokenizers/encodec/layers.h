// The layers of EnCodec's encoder and decoder, each run over a signal piece by piece: what a piece
// leaves behind is in a State, so that pieces give what the whole gives. Signals are channels last,
// [time, channels] float32.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/ops/conv1d.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace gamut::encodec {

// How layers are computed. `fused`: by the program's operators, which are what the CPU is fast
// with. `plain`: by LibTorch's, for other devices, and for tests to compare with.
enum class Form { fused, plain };

class Layer {
 public:
  class State {
   public:
    virtual ~State() = default;
  };
  virtual ~Layer() = default;
  virtual std::unique_ptr<State> new_state() const = 0;
  // The steps [time', channels'] that become known by x [time >= 0, channels]; with `last` all that
  // are left. Layers are constant: calls with different states may run at the same time.
  virtual at::Tensor run(const at::Tensor& x, State& state, bool last) const = 0;
};

struct ConvWeights {
  at::Tensor weight;  // [outputs, inputs, taps]; transposed: [inputs, outputs, taps]
  at::Tensor bias;    // [outputs]
  at::Tensor norm_weight, norm_bias;  // [outputs] of GroupNorm(1) behind it; undefined without
};

struct ConvSizes {
  int64_t stride = 1, dilation = 1;
  bool elu = false;  // applied to the input
  bool causal = true;
};

// Sums of products over taps and channels, with no padding of its own.
class Filter {
 public:
  Filter(const ConvWeights& weights, int64_t stride, int64_t dilation, bool elu, Form form);
  // x [time, inputs] -> [steps, outputs], steps = (time - reach) / stride + 1 rounded down, at
  // least one; plus `add` of that shape where it is defined.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& add = {}) const;
  int64_t reach() const { return reach_; }
  int64_t outputs() const { return layer_.outputs; }

 private:
  ops::Conv1d layer_;  // plain: its weight is not packed
  int64_t reach_;
  bool elu_;
  Form form_;
};

// A convolution that pads its signal by reflection: reach - stride steps, all on the left where it
// is causal and half on the right otherwise, and on the right what the last window lacks. A signal
// of N steps gives ceil(N / stride).
class Conv final : public Layer {
 public:
  Conv(const ConvWeights& weights, const ConvSizes& sizes, Form form);
  std::unique_ptr<State> new_state() const override;
  at::Tensor run(const at::Tensor& x, State& state, bool last) const override;
  // The same plus `add`, which has the shape of the result, where it is defined.
  at::Tensor run_and_add(const at::Tensor& x, State& state, bool last, const at::Tensor& add) const;

 private:
  struct Window;
  void pad_start(Window& window, bool last) const;
  void pad_end(Window& window) const;

  Filter filter_;
  at::Tensor norm_weight_, norm_bias_;
  int64_t stride_, left_, right_;
  int64_t tail_;  // steps kept for the reflection at the end: the longest right padding, and one
};

// A transposed convolution with kernel 2 stride: `stride` steps for each, cut on the right where it
// is causal and by half on both sides otherwise.
class Upsample final : public Layer {
 public:
  Upsample(const ConvWeights& weights, const ConvSizes& sizes, Form form);
  std::unique_ptr<State> new_state() const override;
  at::Tensor run(const at::Tensor& x, State& state, bool last) const override;

 private:
  struct Previous;
  Filter filter_;  // of two taps, the step before and this one, with stride * outputs columns
  at::Tensor norm_weight_, norm_bias_;
  int64_t inputs_, outputs_, stride_;
  bool causal_;
};

// y = conv(elu(conv(elu(x)))) + shortcut(x).
class Residual final : public Layer {
 public:
  // Without `shortcut`, x itself.
  Residual(std::unique_ptr<Conv> narrow, std::unique_ptr<Conv> wide,
           std::unique_ptr<Conv> shortcut);
  std::unique_ptr<State> new_state() const override;
  at::Tensor run(const at::Tensor& x, State& state, bool last) const override;

 private:
  struct Branches;
  std::unique_ptr<Conv> narrow_, wide_, shortcut_;
};

// Stacked LSTM layers plus their input; torch's weights: gates i, f, g, o in [4 width, width].
class Lstm final : public Layer {
 public:
  struct Weights {
    at::Tensor input, hidden, input_bias, hidden_bias;
  };
  Lstm(const std::vector<Weights>& layers, Form form);
  std::unique_ptr<State> new_state() const override;
  at::Tensor run(const at::Tensor& x, State& state, bool last) const override;

 private:
  struct Memory;
  std::vector<at::Tensor> weights_;  // of all layers; packed for the form
  int64_t layers_, width_;
  Form form_;
};

}  // namespace gamut::encodec
