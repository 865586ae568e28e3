// gamut::conv1d: checks, and the division of the output among tiles of time, columns and threads.
#include "ops/conv1d/conv1d.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gamut/error.h>

#include <atomic>

#include "ops/conv1d/kernel.h"
#include "ops/conv1d/scratch.h"
#include "ops/rows.h"

namespace gamut::ops {
namespace {

using at::Tensor;

constexpr int64_t kTileFloats = int64_t{1} << 17;        // of a tile's inputs: half a megabyte
constexpr int64_t kLeastSteps = 126, kMostSteps = 2016;  // of a tile; multiples of 6 and 14
constexpr int64_t kLargeWeights = int64_t{1} << 18;      // floats: a core's cache, better read once

struct Call {
  Tensor x, packed, bias, alpha, residual;  // the last three may be undefined
  int64_t outputs, stride, dilation, left, right;
  ConvActivation activation;
  bool tanh;

  int64_t taps() const { return packed.size(1); }
  int64_t inputs() const { return packed.size(2); }
  int64_t window() const { return (taps() - 1) * dilation + 1; }
  int64_t padded() const { return x.size(1) + left + right; }
  int64_t steps() const { return (padded() - window()) / stride + 1; }
};

ConvActivation activation_of(std::optional<c10::string_view> name) {
  if (!name) return ConvActivation::none;
  if (*name == "snake") return ConvActivation::snake;
  GAMUT_CHECK(*name == "elu", "conv1d: there is no activation `", *name,
              "`; give \"snake\", \"elu\" or none");
  return ConvActivation::elu;
}

void check_shapes(const Call& c) {
  GAMUT_CHECK(c.packed.dim() == 4 && c.packed.numel() > 0,
              "conv1d: weights must be those of conv1d_pack, not a tensor ", c.packed.sizes());
  const int64_t width = c.packed.size(3);
  GAMUT_CHECK(c.outputs > 0 && (c.outputs + width - 1) / width == c.packed.size(0) &&
                  (width == 1 || width == 16 || width == 32),
              "conv1d: weights packed as ", c.packed.sizes(), " are not those of ", c.outputs,
              " outputs");
  GAMUT_CHECK(c.x.dim() == 3 && c.x.size(2) == c.inputs(), "conv1d: x must be [batch, time, ",
              c.inputs(), "] as the weights have it, not ", c.x.sizes());
  GAMUT_CHECK(c.stride > 0 && c.dilation > 0 && c.left >= 0 && c.right >= 0,
              "conv1d: stride and dilation must be positive and padding not negative; they are ",
              c.stride, ", ", c.dilation, ", ", c.left, " and ", c.right);
  GAMUT_CHECK(c.padded() >= c.window(), "conv1d: x has ", c.x.size(1), " steps, ", c.padded(),
              " with padding, and the weight reaches over ", c.window(), "; give more context");
  GAMUT_CHECK(!c.bias.defined() || (c.bias.dim() == 1 && c.bias.size(0) == c.outputs),
              "conv1d: the bias must be [", c.outputs, "]; it is ",
              c.bias.defined() ? c.bias.sizes() : at::IntArrayRef());
  const bool snake = c.activation == ConvActivation::snake;
  GAMUT_CHECK(c.alpha.defined() == snake, "conv1d: alpha is for snake, and snake needs it");
  GAMUT_CHECK(!snake || (c.alpha.dim() == 1 && c.alpha.size(0) == c.inputs()),
              "conv1d: alpha must be [", c.inputs(), "], one for each input; it is ",
              snake ? c.alpha.sizes() : at::IntArrayRef());
  const std::vector<int64_t> shape{c.x.size(0), c.steps(), c.outputs};
  GAMUT_CHECK(!c.residual.defined() || c.residual.sizes() == at::IntArrayRef(shape),
              "conv1d: the residual must be as the output, ", at::IntArrayRef(shape), "; it is ",
              c.residual.defined() ? c.residual.sizes() : at::IntArrayRef());
}

void check_types(const Call& c) {
  GAMUT_CHECK(at::isFloatingType(c.x.scalar_type()), "conv1d: x must be of real numbers, not ",
              c.x.scalar_type());
  for (const auto* t : {&c.x, &c.packed, &c.bias, &c.alpha, &c.residual}) {
    if (!t->defined()) continue;
    GAMUT_CHECK(t->scalar_type() == c.x.scalar_type() && t->device() == c.x.device(),
                "conv1d: x is ", c.x.scalar_type(), " on ", c.x.device(), " and another is ",
                t->scalar_type(), " on ", t->device(), "; convert one of them");
    GAMUT_CHECK(!c10::GradMode::is_enabled() || !t->requires_grad(),
                "conv1d is for inference and has no gradients: call it where gradients are off "
                "(c10::NoGradGuard, gamut.no_grad), or use a convolution of LibTorch to train");
  }
}

// How the output is divided. Results do not depend on it.
struct Division {
  int64_t tiles, groups;  // of time, of panels

  Division(const Call& c, int64_t row_floats) {
    const int64_t threads = at::get_num_threads(), steps = c.steps(), batch = c.x.size(0);
    const int64_t panels = c.packed.size(0);
    const int64_t fit = kTileFloats / row_floats / kLeastSteps * kLeastSteps;
    const int64_t most = std::clamp(fit, kLeastSteps, kMostSteps);
    tiles = (steps + most - 1) / most;
    groups = 1;
    const int64_t spare = batch * tiles % threads;
    if (spare == 0) return;
    if (c.packed.numel() >= kLargeWeights && panels >= threads) {
      groups = threads;
    } else {
      tiles = std::min(tiles + threads - spare, std::max(tiles, steps / 28));
    }
  }
};

// Arguments that all tiles share, and what they point to.
struct Prepared {
  Tensor x, packed, bias, alpha, inverse, residual, y;
  Conv1dArguments all{};
  int64_t row_floats;  // of input that an output row adds to a tile
  bool direct;         // whether the product reads x itself

  explicit Prepared(const Call& c)
      : x(c.x.stride(2) == 1 && c.x.stride(1) == c.inputs() ? c.x : c.x.contiguous()),
        packed(c.packed.contiguous()) {
    const auto contiguous = [](const Tensor& t) { return t.defined() ? t.contiguous() : t; };
    bias = contiguous(c.bias);
    alpha = contiguous(c.alpha);
    residual = contiguous(c.residual);
    if (alpha.defined()) inverse = (alpha + 1e-9).reciprocal();
    y = at::empty({c.x.size(0), c.steps(), c.outputs}, c.x.options());
    // Rows that lie a multiple of 2 KB apart fall into the same few sets of the L1 cache.
    const bool aliased = c.inputs() % 512 == 0;
    direct = c.activation == ConvActivation::none && c.left == 0 && c.right == 0 && !aliased;
    all.inputs = c.inputs();
    all.length = c.x.size(1);
    all.activation = c.activation;
    all.alpha = static_cast<const float*>(data_or_null(alpha));
    all.alpha_inverse = static_cast<const float*>(data_or_null(inverse));
    all.scratch_row = aliased ? c.inputs() + 144 : c.inputs();
    const bool one_run = c.dilation == 1 && !aliased;
    all.taps = one_run ? 1 : c.taps();
    all.run = one_run ? c.taps() * c.inputs() : c.inputs();
    all.tap_distance = c.dilation * all.scratch_row;
    all.row_distance = c.stride * all.scratch_row;
    all.weight = packed.const_data_ptr<float>();
    all.width = packed.size(3);
    all.prefetch = packed.numel() >= kLargeWeights;
    all.outputs = c.outputs;
    all.bias = static_cast<const float*>(data_or_null(bias));
    all.tanh = c.tanh;
    row_floats = all.row_distance;
  }
};

// Tile `tile` of batch row `row`, with panels of group `group`.
Conv1dArguments tile_of(const Call& c, const Prepared& p, const Division& division, int64_t row,
                        int64_t tile, int64_t group) {
  const int64_t steps = c.steps(), panels = c.packed.size(0);
  const int64_t from = steps * tile / division.tiles;
  Conv1dArguments a = p.all;
  a.x = p.x.const_data_ptr<float>() + row * p.x.stride(0);
  a.steps = steps * (tile + 1) / division.tiles - from;
  a.first = from * c.stride - c.left;
  a.rows = (a.steps - 1) * c.stride + c.window();
  a.panel = panels * group / division.groups;
  a.panel_end = panels * (group + 1) / division.groups;
  const int64_t at = (row * steps + from) * c.outputs;
  a.y = p.y.mutable_data_ptr<float>() + at;
  if (p.residual.defined()) a.residual = p.residual.const_data_ptr<float>() + at;
  return a;
}

Tensor run(const Call& c) {
  const Prepared p(c);
  const Division division(c, p.row_floats);
  const int64_t of_row = division.tiles * division.groups, tasks = c.x.size(0) * of_row;
  std::atomic<int64_t> next{0};
  const int64_t workers = std::min<int64_t>(tasks, at::get_num_threads());
  at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < tasks; task = next++) {
      const int64_t tile = task % of_row / division.groups;
      auto a = tile_of(c, p, division, task / of_row, tile, task % division.groups);
      if (!p.direct) a.scratch = thread_scratch(a.rows * a.scratch_row);
      conv1d_tile(a);
    }
  });
  return p.y;
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& packed, const std::optional<Tensor>& bias,
              int64_t outputs, int64_t stride, int64_t dilation, int64_t left, int64_t right,
              std::optional<c10::string_view> activation, const std::optional<Tensor>& alpha,
              const std::optional<Tensor>& residual, bool tanh) {
  const Call c{x,
               packed,
               or_undefined(bias),
               or_undefined(alpha),
               or_undefined(residual),
               outputs,
               stride,
               dilation,
               left,
               right,
               activation_of(activation),
               tanh};
  check_shapes(c);
  check_types(c);
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat) {
    return conv1d_reference(x, packed, bias, outputs, stride, dilation, left, right, activation,
                            alpha, residual, tanh);
  }
  return run(c);
}

}  // namespace gamut::ops
