// Muon (Jordan et al. 2024): momentum whose update is orthogonalised before it is applied. For the
// matrices of a model; which parameters those are, the script decides. All matrices of a device and
// type go through each operator as one list, which on a GPU is one launch or two.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/capturable.h>
#include <gamut/live_numbers.h>
#include <gamut/ops.h>
#include <gamut/optimizer_state.h>
#include <gamut/plugin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

namespace gamut {
namespace {

class Muon final : public Optimizer, public Capturable {
 public:
  static OptionTable options() {
    return {
        option::number("lr", "learning rate").value(0.02).at_least(0),
        option::number("momentum", "decay of the gradient's running sum")
            .value(0.95)
            .at_least(0)
            .below(1),
        option::boolean("nesterov", "look ahead: gradient + momentum * running sum").value(true),
        option::number("weight_decay", "decoupled: each step multiplies weights by 1 - lr * this")
            .value(0.0)
            .at_least(0),
        option::integer("ns_steps", "steps of the Newton-Schulz iteration")
            .value(int64_t{5})
            .at_least(1)
            .at_most(20),
        option::string("coefficients", "polynomials of the iteration")
            .value(std::string("keller"))
            .one_of({"keller", "polar_express"}),
        option::string("scale",
                       "update times sqrt(max(1, rows/columns)) (original), or times 0.2 "
                       "sqrt(max(rows, columns)) (match_rms_adamw)")
            .value(std::string("original"))
            .one_of({"original", "match_rms_adamw"}),
        option::string("ns_dtype",
                       "of the iteration; auto: bfloat16 on GPUs and on processors with bfloat16 "
                       "products, else float32. With scale = original, bfloat16 also rounds the "
                       "scaled update, as the original does")
            .value(std::string("auto"))
            .one_of({"auto", "bfloat16", "float32"}),
    };
  }

  Muon(const Options&, Host&) {}

  void add_group(ParameterGroup group) override {
    check_new_group(groups_, group);
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> sums;
    for (const auto& p : group.parameters) {
      GAMUT_CHECK(p.tensor.dim() == 2, "muon updates matrices; parameter `", p.name, "` has shape ",
                  p.tensor.sizes(), "; give it to another optimizer such as adamw");
      sums.push_back(at::zeros_like(p.tensor));
    }
    sums_.push_back(std::move(sums));
    live_.emplace_back();
    Optimizer::add_group(std::move(group));
  }

  void step() override {
    prepare_step();
    step_on_device();
  }

  std::vector<std::string> live_options() const override { return {"lr", "momentum"}; }

  void prepare_step() override {
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Options& o = groups_[i].options;
      const double lr = o.number("lr");
      live_[i].set(groups_[i].parameters,
                   {lr, o.number("momentum"), 1 - lr * o.number("weight_decay")});
    }
  }

  void step_on_device() override {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < groups_.size(); ++i) {
      for (const auto& entry : batches_of(groups_[i], sums_[i])) {
        step_batch(entry.second, groups_[i].options, live_[i]);
      }
    }
  }

  NamedTensors state() const override {
    NamedTensors entries;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const auto& parameters = groups_[i].parameters;
      for (size_t j = 0; j < parameters.size(); ++j) {
        entries.push_back({"momentum/" + parameters[j].name, sums_[i][j]});
      }
    }
    return entries;
  }

  void load_state(const NamedTensors& saved) override {
    const c10::NoGradGuard no_grad;
    restore_state(state(), saved);
  }

 private:
  // Matrices of one device and type with their gradients and running sums.
  struct Batch {
    std::vector<at::Tensor> parameters, gradients, sums;
  };
  using Batches = std::map<std::tuple<at::DeviceType, int, at::ScalarType>, Batch>;

  enum Live : int64_t { kRate, kMomentum, kKept };  // kept: of the weights, 1 - lr weight_decay

  // The polynomials of the iteration, and what divides a matrix before it: safety |G|_F + eps.
  struct Rule {
    std::vector<std::array<double, 3>> steps;  // the last repeats
    double safety, eps;
  };

  // keller: Jordan's fixed quintic. polar_express: Amsel et al., arXiv 2505.16932, table for five
  // steps with a margin of 2 % for bfloat16.
  static const Rule& rule_of(const std::string& name) {
    static const Rule keller = {{{3.4445, -4.7750, 2.0315}}, 1.0, 1e-7};
    static const Rule polar_express = {{{8.156555, -22.483293, 15.878770},
                                        {4.042930, -2.808917, 0.500018},
                                        {3.891668, -2.772484, 0.506065},
                                        {3.285754, -2.368129, 0.464490},
                                        {2.346541, -1.709783, 0.423236}},
                                       1.02,
                                       1e-6};
    return name == "keller" ? keller : polar_express;
  }

  static Batches batches_of(const ParameterGroup& group, const std::vector<at::Tensor>& sums) {
    Batches batches;
    for (size_t j = 0; j < group.parameters.size(); ++j) {
      const NamedTensor& p = group.parameters[j];
      const at::Tensor &gradient = p.tensor.grad(), &sum = sums[j];
      if (!gradient.defined()) continue;
      const at::Device device = p.tensor.device();
      GAMUT_CHECK(device == sum.device() && p.tensor.dtype() == sum.dtype(), "parameter `", p.name,
                  "` became ", p.tensor.dtype(), " on ", device, " after muon was made for ",
                  sum.dtype(), " on ", sum.device(), "; make the optimizer after moving the model");
      GAMUT_CHECK(gradient.layout() == at::kStrided, "the gradient of `", p.name,
                  "` is sparse; muon needs a dense one");
      Batch& batch = batches[{device.type(), device.index(), sum.scalar_type()}];
      batch.parameters.push_back(p.tensor);
      batch.gradients.push_back(gradient);
      batch.sums.push_back(sum);
    }
    return batches;
  }

  // M <- mu M + G; the update is G + mu M, or M itself without nesterov.
  static std::vector<at::Tensor> advance(const Batch& batch, const at::Tensor& momentum,
                                         bool nesterov) {
    at::_foreach_mul_(batch.sums, momentum);
    at::_foreach_add_(batch.sums, batch.gradients);
    if (!nesterov) return batch.sums;
    auto updates = at::_foreach_mul(batch.sums, momentum);
    at::_foreach_add_(updates, batch.gradients);
    return updates;
  }

  static std::optional<at::ScalarType> iteration_dtype(const Options& o) {
    const std::string& name = o.string("ns_dtype");
    if (name == "auto") return {};
    return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
  }

  static void step_batch(const Batch& batch, const Options& o, LiveNumbers& live) {
    const at::Device device = batch.parameters[0].device();
    const Rule& rule = rule_of(o.string("coefficients"));
    std::vector<double> coefficients;
    for (int64_t i = 0; i < o.integer("ns_steps"); ++i) {
      const auto& step = rule.steps[std::min<size_t>(i, rule.steps.size() - 1)];
      coefficients.insert(coefficients.end(), step.begin(), step.end());
    }
    const auto updates = advance(batch, live.get(device, kMomentum), o.boolean("nesterov"));
    const auto orthogonal =
        ops::newton_schulz(updates, coefficients, rule.safety, rule.eps, iteration_dtype(o));
    scale(orthogonal, o);
    at::_foreach_mul_(orthogonal, live.get(device, kRate));
    if (o.number("weight_decay") != 0) {
      at::_foreach_mul_(batch.parameters, live.get(device, kKept));
    }
    at::_foreach_sub_(batch.parameters, orthogonal);
  }

  // Times the factor of each matrix, which depends on its shape alone.
  static void scale(const std::vector<at::Tensor>& orthogonal, const Options& o) {
    const bool match = o.string("scale") == "match_rms_adamw";
    std::vector<at::Tensor> scaled;
    std::vector<at::Scalar> factors;
    for (const at::Tensor& matrix : orthogonal) {
      const auto rows = static_cast<double>(matrix.size(0));
      const auto columns = static_cast<double>(matrix.size(1));
      if (!match && rows <= columns) continue;
      scaled.push_back(matrix);
      factors.emplace_back(match ? 0.2 * std::sqrt(std::max(rows, columns))
                                 : std::sqrt(rows / columns));
    }
    if (scaled.empty()) return;
    at::_foreach_mul_(scaled, factors);
    // The original scales the iteration's result in its own type.
    if (!match && o.string("ns_dtype") == "bfloat16") round_to_bfloat16(scaled);
  }

  static void round_to_bfloat16(const std::vector<at::Tensor>& tensors) {
    if (tensors[0].scalar_type() == at::kBFloat16) return;
    std::vector<at::Tensor> halves;
    halves.reserve(tensors.size());
    for (const at::Tensor& t : tensors) halves.push_back(at::empty_like(t, at::kBFloat16));
    at::_foreach_copy_(halves, tensors);
    at::_foreach_copy_(tensors, halves);
  }

  std::vector<std::vector<at::Tensor>> sums_;  // as groups_ and their parameters
  std::vector<LiveNumbers> live_;              // as groups_
};

}  // namespace
}  // namespace gamut

GAMUT_OPTIMIZER(gamut::Muon, "muon", "1.0.0",
                "Momentum orthogonalised by Newton-Schulz iterations, for matrices")
