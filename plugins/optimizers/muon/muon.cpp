// Muon (Jordan et al. 2024): momentum whose update is orthogonalised before it is applied. For the
// matrices of a model; which parameters those are, the script decides.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/ops.h>
#include <gamut/optimizer_state.h>
#include <gamut/plugin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

namespace gamut {
namespace {

class Muon final : public Optimizer {
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
    Optimizer::add_group(std::move(group));
  }

  void step() override {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < groups_.size(); ++i) step_group(groups_[i], sums_[i]);
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
  // Parameters of one device and their updates.
  struct Batch {
    std::vector<at::Tensor> parameters, updates;
  };

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

  // M <- mu M + G; the update is G + mu M, or M itself without nesterov.
  static at::Tensor advance(const NamedTensor& p, at::Tensor& sum, const Options& o) {
    GAMUT_CHECK(p.tensor.device() == sum.device() && p.tensor.dtype() == sum.dtype(), "parameter `",
                p.name, "` became ", p.tensor.dtype(), " on ", p.tensor.device(),
                " after muon was made for ", sum.dtype(), " on ", sum.device(),
                "; make the optimizer after moving the model");
    const at::Tensor& gradient = p.tensor.grad();
    GAMUT_CHECK(gradient.layout() == at::kStrided, "the gradient of `", p.name,
                "` is sparse; muon needs a dense one");
    const double momentum = o.number("momentum");
    at::add_out(sum, gradient, sum, momentum);
    return o.boolean("nesterov") ? gradient.add(sum, momentum) : sum;
  }

  static std::optional<at::ScalarType> iteration_dtype(const Options& o) {
    const std::string& name = o.string("ns_dtype");
    if (name == "auto") return {};
    return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
  }

  static void step_group(const ParameterGroup& group, std::vector<at::Tensor>& sums) {
    std::map<std::pair<at::DeviceType, int>, Batch> batches;
    for (size_t j = 0; j < group.parameters.size(); ++j) {
      const NamedTensor& p = group.parameters[j];
      if (!p.tensor.grad().defined()) continue;
      Batch& batch = batches[{p.tensor.device().type(), p.tensor.device().index()}];
      batch.parameters.push_back(p.tensor);
      batch.updates.push_back(advance(p, sums[j], group.options));
    }
    for (const auto& entry : batches) apply(entry.second, group.options);
  }

  static void apply(const Batch& batch, const Options& o) {
    const Rule& rule = rule_of(o.string("coefficients"));
    std::vector<double> coefficients;
    for (int64_t i = 0; i < o.integer("ns_steps"); ++i) {
      const auto& step = rule.steps[std::min<size_t>(i, rule.steps.size() - 1)];
      coefficients.insert(coefficients.end(), step.begin(), step.end());
    }
    const auto orthogonal =
        ops::newton_schulz(batch.updates, coefficients, rule.safety, rule.eps, iteration_dtype(o));
    for (size_t i = 0; i < orthogonal.size(); ++i) update(batch.parameters[i], orthogonal[i], o);
  }

  static void update(at::Tensor parameter, const at::Tensor& orthogonal, const Options& o) {
    const auto rows = static_cast<double>(parameter.size(0));
    const auto columns = static_cast<double>(parameter.size(1));
    const double lr = o.number("lr");
    const double decay = o.number("weight_decay");
    if (decay != 0) parameter.mul_(1 - lr * decay);
    if (o.string("scale") == "match_rms_adamw") {
      parameter.add_(orthogonal, -lr * 0.2 * std::sqrt(std::max(rows, columns)));
    } else if (rows > columns && o.string("ns_dtype") == "bfloat16") {
      // The original scales the iteration's result in its own type.
      const at::Tensor scaled = orthogonal.mul(std::sqrt(rows / columns)).to(at::kBFloat16);
      parameter.add_(scaled.to(parameter.scalar_type()), -lr);
    } else {
      parameter.add_(orthogonal, -lr * std::sqrt(std::max(1.0, rows / columns)));
    }
  }

  std::vector<std::vector<at::Tensor>> sums_;  // as groups_ and their parameters
};

}  // namespace
}  // namespace gamut

GAMUT_OPTIMIZER(gamut::Muon, "muon", "1.0.0",
                "Momentum orthogonalised by Newton-Schulz iterations, for matrices")
