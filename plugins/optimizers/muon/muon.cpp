// Muon (Jordan et al. 2024): momentum whose update is orthogonalised before it is applied. For the
// matrices of a model; which parameters those are, the script decides.
#include <ATen/ATen.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <gamut/optimizer_state.h>
#include <gamut/plugin.h>

#include <cmath>
#include <map>
#include <tuple>

#include "newton_schulz.h"

namespace gamut {
namespace {

// Matrices of one shape are iterated as a stack of at most this many elements, which bounds the
// extra memory to a few times its size.
constexpr int64_t kStackElements = int64_t{1} << 25;

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
                       "products, else float32")
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
    // Autocast would put the products into another dtype than `ns_dtype` says.
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
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
  // Parameters whose updates, laid flat side up, are matrices of one kind.
  struct Stack {
    std::vector<at::Tensor> parameters, updates;
  };

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
    sum.mul_(momentum).add_(gradient);
    return o.boolean("nesterov") ? gradient.add(sum, momentum) : sum;
  }

  // Two to four times faster than float32 where the processor has the instruction, slower where
  // it is emulated.
  static bool cpu_multiplies_bfloat16() {
    static const bool answer = [] {
      const auto capabilities = at::cpu::get_cpu_capabilities();
      for (const char* name : {"avx512_bf16", "amx_bf16"}) {
        auto found = capabilities.find(name);
        if (found != capabilities.end() && found->second.isBool() && found->second.toBool()) {
          return true;
        }
      }
      return false;
    }();
    return answer;
  }

  static at::ScalarType iteration_dtype(const Options& o, at::Device device) {
    const std::string& name = o.string("ns_dtype");
    if (name == "bfloat16") return at::kBFloat16;
    if (name == "float32") return at::kFloat;
    return device.is_cuda() || (device.is_cpu() && cpu_multiplies_bfloat16()) ? at::kBFloat16
                                                                              : at::kFloat;
  }

  static void step_group(const ParameterGroup& group, std::vector<at::Tensor>& sums) {
    std::map<std::tuple<at::DeviceType, int, int64_t, int64_t>, Stack> stacks;
    for (size_t j = 0; j < group.parameters.size(); ++j) {
      const NamedTensor& p = group.parameters[j];
      if (!p.tensor.grad().defined()) continue;
      at::Tensor update = advance(p, sums[j], group.options);
      if (update.size(0) > update.size(1)) update = update.mT();
      const at::Device device = p.tensor.device();
      Stack& stack = stacks[{device.type(), device.index(), update.size(0), update.size(1)}];
      stack.parameters.push_back(p.tensor);
      stack.updates.push_back(update.to(iteration_dtype(group.options, device)));
    }
    for (const auto& entry : stacks) apply(entry.second, group.options);
  }

  static void apply(const Stack& stack, const Options& o) {
    const auto& rule = muon::iteration(o.string("coefficients"));
    const auto count = static_cast<int64_t>(stack.updates.size());
    const int64_t elements = std::max<int64_t>(stack.updates[0].numel(), 1);
    const int64_t at_once = std::max<int64_t>(kStackElements / elements, 1);
    for (int64_t begin = 0; begin < count; begin += at_once) {
      const int64_t n = std::min(at_once, count - begin);
      const auto part = at::TensorList(stack.updates).slice(begin, n);
      const at::Tensor orthogonal =
          muon::orthogonalize(at::stack(part), rule, o.integer("ns_steps"));
      for (int64_t i = 0; i < n; ++i) update(stack.parameters[begin + i], orthogonal[i], o);
    }
  }

  static void update(at::Tensor parameter, const at::Tensor& orthogonal, const Options& o) {
    const auto rows = static_cast<double>(parameter.size(0));
    const auto columns = static_cast<double>(parameter.size(1));
    const double scale = o.string("scale") == "original" ? std::sqrt(std::max(1.0, rows / columns))
                                                         : 0.2 * std::sqrt(std::max(rows, columns));
    const double lr = o.number("lr");
    const double decay = o.number("weight_decay");
    if (decay != 0) parameter.mul_(1 - lr * decay);
    parameter.add_(rows > columns ? orthogonal.mT() : orthogonal, -lr * scale);
  }

  std::vector<std::vector<at::Tensor>> sums_;  // as groups_ and their parameters
};

}  // namespace
}  // namespace gamut

GAMUT_OPTIMIZER(gamut::Muon, "muon", "1.0.0",
                "Momentum orthogonalised by Newton-Schulz iterations, for matrices")
