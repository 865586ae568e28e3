// gamut::lstm: checks, and the way through layers and steps on all threads.
#include "ops/lstm/lstm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gamut/error.h>

#include "ops/conv1d/conv1d.h"
#include "ops/lstm/kernel.h"
#include "ops/lstm/team.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;

constexpr int64_t kStepsAtOnce = 256;              // whose products with the input are kept
constexpr int64_t kLaneFloats = int64_t{1} << 16;  // of weights, that are worth a thread

struct Layer {
  Tensor input, bias, recurrent;

  int64_t blocks() const { return recurrent.size(0); }
  int64_t hidden() const { return recurrent.size(1); }
};

void check_layer(const Layer& l, int64_t inputs) {
  GAMUT_CHECK(l.recurrent.dim() == 4 && l.recurrent.size(2) == 4 &&
                  l.recurrent.size(3) == kLstmBlock && l.bias.numel() == l.blocks() * 64 &&
                  l.input.dim() == 4,
              "lstm: weights must be those of lstm_pack, three tensors a layer");
  GAMUT_CHECK(l.input.size(2) == inputs, "lstm: a layer takes ", l.input.size(2),
              " inputs, and is given ", inputs);
}

std::vector<Layer> layers_of(const Tensor& x, at::TensorList packed) {
  GAMUT_CHECK(x.dim() == 3, "lstm: x must be [batch, time, inputs], not ", x.sizes());
  GAMUT_CHECK(!packed.empty() && packed.size() % 3 == 0,
              "lstm: weights must be those of lstm_pack, three tensors a layer, not ",
              packed.size(), " tensors");
  std::vector<Layer> layers;
  int64_t inputs = x.size(2);
  for (size_t i = 0; i < packed.size(); i += 3) {
    layers.push_back({packed[i], packed[i + 1], packed[i + 2].contiguous()});
    check_layer(layers.back(), inputs);
    inputs = layers.back().hidden();
  }
  return layers;
}

void check_tensor(const Tensor& x, const Tensor& t) {
  GAMUT_CHECK(at::isFloatingType(x.scalar_type()) && t.scalar_type() == x.scalar_type() &&
                  t.device() == x.device(),
              "lstm: x is ", x.scalar_type(), " on ", x.device(), " and another is ",
              t.scalar_type(), " on ", t.device(), "; convert one of them");
  GAMUT_CHECK(!c10::GradMode::is_enabled() || !t.requires_grad(),
              "lstm is for inference and has no gradients: call it where gradients are off "
              "(c10::NoGradGuard, gamut.no_grad), or use an LSTM of LibTorch to train");
}

// The state that was given, as a copy to be updated, or zeros.
Tensor state_of(const Tensor& x, const std::vector<Layer>& layers, const std::optional<Tensor>& s) {
  const std::vector<int64_t> shape{static_cast<int64_t>(layers.size()), x.size(0),
                                   layers[0].hidden()};
  if (!s) return at::zeros(shape, x.options());
  GAMUT_CHECK(s->sizes() == at::IntArrayRef(shape),
              "lstm: states must be [layers, batch, H] = ", at::IntArrayRef(shape), "; one is ",
              s->sizes());
  check_tensor(x, *s);
  return s->clone(at::MemoryFormat::Contiguous);
}

// Steps [from, from + products.size(1)) of a layer, into y; c is updated.
void recur(const Layer& l, const Tensor& products, const Tensor& h, const Tensor& c,
           const Tensor& y, int64_t from) {
  const int64_t batch = y.size(0), hidden = l.hidden(), blocks = l.blocks();
  const int64_t steps = products.size(1), gates = products.size(2);
  LstmStepArguments all{};
  all.batch = batch;
  all.hidden = hidden;
  all.weight = l.recurrent.const_data_ptr<float>();
  all.products_row = steps * gates;
  all.c = c.mutable_data_ptr<float>();
  all.y_row = y.stride(0);
  const float* first = products.const_data_ptr<float>();
  const float* before = h.const_data_ptr<float>();
  float* out = y.mutable_data_ptr<float>();
  const int64_t lanes = std::clamp<int64_t>(l.recurrent.numel() / kLaneFloats, 1,
                                            std::min<int64_t>(blocks, at::get_num_threads()));
  Team team(lanes);
  at::parallel_for(0, lanes, 1, [&](int64_t begin, int64_t end) {
    team.join(begin, end);
    LstmStepArguments a = all;
    a.block = blocks * begin / lanes;
    a.block_end = blocks * end / lanes;
    for (int64_t t = 0; t < steps; ++t, team.wait()) {
      a.backwards = (from + t) % 2 == 1;
      a.products = first + t * gates;
      a.y = out + (from + t) * hidden;
      a.h = from + t == 0 ? before : a.y - hidden;
      a.h_row = from + t == 0 ? hidden : all.y_row;
      lstm_step(a);
    }
  });
}

// All steps of a layer; h and c, [B, H], are updated.
Tensor run_layer(const Layer& l, const Tensor& x, const Tensor& h, const Tensor& c) {
  const int64_t steps = x.size(1);
  const auto y = at::empty({x.size(0), steps, l.hidden()}, x.options());
  for (int64_t from = 0; from < steps; from += kStepsAtOnce) {
    const auto part = x.narrow(1, from, std::min(kStepsAtOnce, steps - from));
    const auto products = conv1d(part, l.input, l.bias, l.bias.numel(), /*stride=*/1,
                                 /*dilation=*/1, /*left=*/0, /*right=*/0, {}, {}, {}, false);
    recur(l, products, h, c, y, from);
  }
  if (steps > 0) h.copy_(y.select(1, steps - 1));
  return y;
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> lstm(const Tensor& x, at::TensorList packed,
                                        const std::optional<Tensor>& h,
                                        const std::optional<Tensor>& c) {
  const auto layers = layers_of(x, packed);
  check_tensor(x, x);
  for (const auto& t : packed) check_tensor(x, t);
  const auto last_h = state_of(x, layers, h), last_c = state_of(x, layers, c);
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat) {
    return lstm_reference(x, packed, h, c);
  }
  Tensor y = x;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    y = run_layer(layers[i], y, last_h[layer], last_c[layer]);
  }
  return {y, last_h, last_c};
}

}  // namespace gamut::ops
