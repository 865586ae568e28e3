#include "layers.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <gamut/ops/lstm.h>

#include <algorithm>

#include "norm.h"

namespace gamut::encodec {
namespace {

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

at::Tensor join(const at::Tensor& before, const at::Tensor& after) {
  if (!before.defined() || before.size(0) == 0) return after;
  return after.size(0) == 0 ? before : at::cat({before, after});
}

at::Tensor nothing(const at::Tensor& like, int64_t channels) {
  return at::empty({0, channels}, like.options());
}

}  // namespace

// ---- Filter

Filter::Filter(const ConvWeights& weights, int64_t stride, int64_t dilation, bool elu, Form form)
    : reach_((weights.weight.size(2) - 1) * dilation + 1), elu_(elu), form_(form) {
  const at::Tensor weight = weights.weight.contiguous();
  if (form == Form::fused) {
    layer_ = ops::pack_conv1d(weight, weights.bias, stride, dilation);
  } else {
    layer_ = {weight, weights.bias, weight.size(0), stride, dilation};
  }
}

at::Tensor Filter::operator()(const at::Tensor& x, const at::Tensor& add) const {
  if (form_ == Form::fused) {
    ops::Conv1dCall with;
    if (elu_) with.activation = "elu";
    if (add.defined()) with.residual = add.unsqueeze(0);
    return ops::conv1d(x.unsqueeze(0), layer_, with).squeeze(0);
  }
  const at::Tensor in = (elu_ ? at::elu(x) : x).t().unsqueeze(0);
  const at::Tensor y = at::conv1d(in, layer_.packed, layer_.bias, layer_.stride, at::IntArrayRef{0},
                                  layer_.dilation);
  return add.defined() ? y.squeeze(0).t() + add : y.squeeze(0).t();
}

// ---- Conv

// The part of the padded signal that is still needed.
struct Conv::Window final : Layer::State {
  at::Tensor steps;      // [time, channels]
  int64_t next = 0;      // where in `steps` the next output begins
  int64_t seen = 0;      // steps of the signal so far, without padding
  int64_t made = 0;      // outputs so far
  bool started = false;  // the left padding is there
};

Conv::Conv(const ConvWeights& weights, const ConvSizes& sizes, Form form)
    : filter_(weights, sizes.stride, sizes.dilation, sizes.elu, form),
      norm_weight_(weights.norm_weight),
      norm_bias_(weights.norm_bias),
      stride_(sizes.stride),
      left_(filter_.reach() - sizes.stride),
      right_(sizes.causal ? 0 : left_ / 2) {
  left_ -= right_;
  tail_ = right_ > 0 || stride_ > 1 ? right_ + stride_ : 0;
}

std::unique_ptr<Layer::State> Conv::new_state() const {
  return std::make_unique<Window>();
}

// Steps left_, ..., 1 of the signal before it. In a signal that ends sooner they are zeros, as in
// the packages of reference, which lengthen such a signal by zeros before they reflect it.
void Conv::pad_start(Window& window, bool last) const {
  if (window.started || (window.seen <= left_ && !last)) return;
  window.started = true;
  if (left_ == 0) return;
  const int64_t lacking = std::max<int64_t>(0, left_ + 1 - window.seen);
  const at::Tensor signal = at::constant_pad_nd(window.steps, {0, 0, 0, lacking});
  window.steps = at::cat({signal.slice(0, 1, left_ + 1).flip(0), window.steps});
}

// The reflection that fills the last window. A signal of N steps that is no longer than the
// padding is followed by max(left, right) - N + 1 zeros before the reflection begins.
void Conv::pad_end(Window& window) const {
  const int64_t outputs = ceil_div(window.seen, stride_);
  const int64_t right = (outputs - 1) * stride_ + filter_.reach() - left_ - window.seen;
  if (right <= 0) return;
  const int64_t zeros = std::max<int64_t>(0, std::max(left_, right) - window.seen + 1);
  const int64_t tail = std::min(window.seen, right + 1);
  const at::Tensor kept = window.steps.slice(0, window.steps.size(0) - tail);
  const at::Tensor lengthened = at::constant_pad_nd(kept, {0, 0, 0, zeros});
  const at::Tensor reflected =
      lengthened.slice(0, 0, lengthened.size(0) - 1).flip(0).slice(0, 0, right);
  const at::Tensor padding = at::cat({lengthened.slice(0, tail), reflected}).slice(0, 0, right);
  window.steps = at::cat({window.steps, padding});
}

at::Tensor Conv::run(const at::Tensor& x, State& state, bool last) const {
  return run_and_add(x, state, last, {});
}

at::Tensor Conv::run_and_add(const at::Tensor& x, State& state, bool last,
                             const at::Tensor& add) const {
  auto& window = static_cast<Window&>(state);
  window.steps = join(window.steps, x);
  window.seen += x.size(0);
  if (window.seen > 0) pad_start(window, last);
  if (last && window.seen > 0) pad_end(window);
  const int64_t free = window.steps.size(0) - window.next - filter_.reach();
  if (!window.started || free < 0) return nothing(x, filter_.outputs());
  const int64_t count = free / stride_ + 1;
  const int64_t end = window.next + free - free % stride_ + filter_.reach();
  const at::Tensor in = window.steps.slice(0, window.next, end);
  // A norm comes between the sum and what is added to it.
  const at::Tensor y = norm_weight_.defined()
                           ? normalize(filter_(in), norm_weight_, norm_bias_, add)
                           : filter_(in, add);
  window.next += count * stride_;
  const int64_t kept = std::max(window.steps.size(0) - window.next, tail_);
  const int64_t dropped = std::max<int64_t>(0, window.steps.size(0) - kept);
  window.steps = window.steps.slice(0, dropped);
  window.next -= dropped;
  return y;
}

// ---- Upsample

struct Upsample::Previous final : Layer::State {
  at::Tensor step;  // [1, inputs], the last one of before; zeros at the start
};

namespace {

// [inputs, outputs, 2 stride] of a transposed convolution as [stride * outputs, inputs, 2]: a step
// gives the first half of its products `stride` steps of output, and the second half the next.
ConvWeights as_two_taps(ConvWeights weights, int64_t stride) {
  const at::Tensor& w = weights.weight;
  const int64_t inputs = w.size(0), outputs = w.size(1);
  weights.weight = w.view({inputs, outputs, 2, stride})
                       .flip(2)
                       .permute({3, 1, 0, 2})
                       .reshape({stride * outputs, inputs, 2});
  weights.bias = weights.bias.repeat({stride});
  return weights;
}

}  // namespace

Upsample::Upsample(const ConvWeights& weights, const ConvSizes& sizes, Form form)
    : filter_(as_two_taps(weights, sizes.stride), 1, 1, sizes.elu, form),
      norm_weight_(weights.norm_weight),
      norm_bias_(weights.norm_bias),
      inputs_(weights.weight.size(0)),
      outputs_(weights.weight.size(1)),
      stride_(sizes.stride),
      causal_(sizes.causal) {}

std::unique_ptr<Layer::State> Upsample::new_state() const {
  return std::make_unique<Previous>();
}

at::Tensor Upsample::run(const at::Tensor& x, State& state, bool last) const {
  at::Tensor& previous = static_cast<Previous&>(state).step;
  const bool first = !previous.defined();
  if (first) {
    if (x.size(0) == 0) return nothing(x, outputs_);
    previous = at::zeros({1, inputs_}, x.options());
  }
  // Where the cut is by half, what follows the last step is wanted too.
  const bool whole_end = last && !causal_;
  if (x.size(0) == 0 && !whole_end) return nothing(x, outputs_);
  const at::Tensor in = whole_end ? at::cat({previous, x, at::zeros({1, inputs_}, x.options())})
                                  : at::cat({previous, x});
  previous = in.slice(0, in.size(0) - 1);
  const at::Tensor steps = filter_(in).reshape({-1, outputs_});
  const at::Tensor y = norm_weight_.defined() ? normalize(steps, norm_weight_, norm_bias_) : steps;
  if (causal_) return y;
  const int64_t right = stride_ / 2, left = stride_ - right;
  return y.slice(0, first ? left : 0, whole_end ? y.size(0) - right : y.size(0));
}

// ---- Residual

struct Residual::Branches final : Layer::State {
  std::unique_ptr<State> narrow, wide, shortcut;
  at::Tensor waiting;  // steps of the shortcut that the other branch has not reached
};

Residual::Residual(std::unique_ptr<Conv> narrow, std::unique_ptr<Conv> wide,
                   std::unique_ptr<Conv> shortcut)
    : narrow_(std::move(narrow)), wide_(std::move(wide)), shortcut_(std::move(shortcut)) {}

std::unique_ptr<Layer::State> Residual::new_state() const {
  auto state = std::make_unique<Branches>();
  state->narrow = narrow_->new_state();
  state->wide = wide_->new_state();
  if (shortcut_) state->shortcut = shortcut_->new_state();
  return state;
}

at::Tensor Residual::run(const at::Tensor& x, State& state, bool last) const {
  auto& branches = static_cast<Branches&>(state);
  const at::Tensor h = narrow_->run(x, *branches.narrow, last);
  const at::Tensor around = shortcut_ ? shortcut_->run(x, *branches.shortcut, last) : x;
  branches.waiting = join(branches.waiting, around);
  const at::Tensor now = branches.waiting.slice(0, 0, h.size(0));
  branches.waiting = branches.waiting.slice(0, h.size(0));
  return wide_->run_and_add(h, *branches.wide, last, now);
}

// ---- Lstm

struct Lstm::Memory final : Layer::State {
  at::Tensor hidden, cell;  // [layers, 1, width]
};

Lstm::Lstm(const std::vector<Weights>& layers, Form form)
    : layers_(static_cast<int64_t>(layers.size())),
      width_(layers.front().hidden.size(1)),
      form_(form) {
  for (const auto& layer : layers) {
    std::vector<at::Tensor> tensors{layer.input, layer.hidden, layer.input_bias, layer.hidden_bias};
    if (form == Form::fused) {
      tensors = ops::pack_lstm(layer.input, layer.hidden, layer.input_bias, layer.hidden_bias);
    }
    weights_.insert(weights_.end(), tensors.begin(), tensors.end());
  }
}

std::unique_ptr<Layer::State> Lstm::new_state() const {
  return std::make_unique<Memory>();
}

at::Tensor Lstm::run(const at::Tensor& x, State& state, bool /*last*/) const {
  if (x.size(0) == 0) return x;
  auto& memory = static_cast<Memory&>(state);
  if (!memory.hidden.defined()) {
    memory.hidden = memory.cell = at::zeros({layers_, 1, width_}, x.options());
  }
  const auto [y, hidden, cell] =
      form_ == Form::fused
          ? ops::lstm(x.unsqueeze(0), weights_, memory.hidden, memory.cell)
          : at::lstm(x.unsqueeze(0), {memory.hidden, memory.cell}, weights_, /*has_biases=*/true,
                     layers_, /*dropout=*/0.0, /*train=*/false, /*bidirectional=*/false,
                     /*batch_first=*/true);
  memory.hidden = hidden;
  memory.cell = cell;
  return y.squeeze(0) + x;
}

}  // namespace gamut::encodec
