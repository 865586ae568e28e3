// Gradients of a mixer against finite differences in float64.
//
// A tensor of n elements is probed along random directions v: the slope of f(p + h v) at h = 0 must
// be the product of v with the gradient. A normal direction weighs every element, so one wrong
// element shows in almost every probe, at the cost of four forward passes.
#include "plugin_host/conformance_mixer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

constexpr double kBound = 1e-6;  // relative to the length of the gradient
constexpr int kDirections = 3;

// One scalar function of a mixer and its input: outputs times fixed random weights.
struct Probe {
  Mixer& mixer;
  at::Tensor x;
  at::Tensor weights;
  at::Tensor cu_seqlens;

  at::Tensor value() const {
    MixerContext context;
    context.cu_seqlens = cu_seqlens;
    return (forward(mixer, x, context) * weights).sum();
  }
};

// Central difference of fourth order.
double slope(const Probe& probe, at::Tensor& tensor, const at::Tensor& direction, double h) {
  const c10::NoGradGuard no_grad;
  const at::Tensor original = tensor.detach().clone();
  auto at_distance = [&](double distance) {
    tensor.detach().copy_(original + direction * distance);
    return probe.value().item<double>();
  };
  const double far = at_distance(2 * h) - at_distance(-2 * h);
  const double near = at_distance(h) - at_distance(-h);
  tensor.detach().copy_(original);
  return (8 * near - far) / (12 * h);
}

// The smallest error over several distances: a kink that one of them straddles (relu) is no fault.
double slope_error(const Probe& probe, at::Tensor& tensor, const at::Tensor& gradient,
                   double noise) {
  const at::Tensor direction = at::randn_like(gradient);
  const double expected = (gradient * direction).sum().item<double>();
  const double scale = gradient.norm().item<double>();
  double best = std::numeric_limits<double>::infinity();
  for (double h : {1e-4, 1e-5, 1e-6}) {
    const double difference = std::abs(slope(probe, tensor, direction, h) - expected);
    best = std::min(best, difference / (scale + noise / (kBound * h)));
    if (best <= kBound) break;
  }
  return best;
}

// Checks one tensor; returns the largest error of its directions.
double check_tensor(const Probe& probe, at::Tensor tensor, const std::string& name,
                    const at::Tensor& gradient, double noise) {
  double worst = 0;
  for (int i = 0; i < kDirections; ++i) {
    const double error = slope_error(probe, tensor, gradient, noise);
    GAMUT_CHECK(error <= kBound, "the gradient of ", name, " is wrong: against finite differences",
                figure(" relative error", error), figure(", bound", kBound));
    worst = std::max(worst, error);
  }
  return worst;
}

std::string check_gradients(const MixerSuite& suite, const at::Tensor& cu_seqlens) {
  auto mixer = suite.fresh();
  const at::Tensor x = suite.input(2, 70).requires_grad_();
  Probe probe{*mixer, x, at::randn_like(x), cu_seqlens};
  const at::Tensor value = probe.value();
  value.backward();
  // What rounding leaves of a difference of two sums of this size.
  const double noise = 1e-15 * (1 + probe.weights.abs().sum().item<double>());

  auto gradient_of = [](const at::Tensor& tensor) {
    return tensor.grad().defined() ? tensor.grad().clone() : at::zeros_like(tensor.detach());
  };
  double worst = check_tensor(probe, x, "the input", gradient_of(x), noise);
  for (const auto& p : mixer->parameters()) {
    if (!p.tensor.requires_grad()) continue;
    const at::Tensor gradient = gradient_of(p.tensor);
    worst = std::max(worst,
                     check_tensor(probe, p.tensor, "parameter `" + p.name + "`", gradient, noise));
  }
  return figure("relative error", worst) + ", input and " +
         std::to_string(mixer->parameters().size()) + " parameters";
}

}  // namespace

void check_mixer_gradients(const MixerSuite& suite, ConformanceReport& report) {
  report.check("gradients", [&] {
    at::manual_seed(4);
    return check_gradients(suite, {});
  });
  report.check("gradients with documents", [&] {
    at::manual_seed(5);
    return check_gradients(suite, at::tensor({0, 9, 70, 105, 140}, at::kLong));
  });
}

}  // namespace gamut::host::conformance
