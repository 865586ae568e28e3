// AdamW (Loshchilov and Hutter, arXiv 1711.05101) by LibTorch's fused kernel, one call for all
// tensors of a kind; the numbers are those of torch.optim.AdamW(fused=True).
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/capturable.h>
#include <gamut/live_numbers.h>
#include <gamut/optimizer_state.h>
#include <gamut/plugin.h>

#include <map>
#include <tuple>

namespace gamut {
namespace {

class AdamW final : public Optimizer, public Capturable {
 public:
  static OptionTable options() {
    return {
        option::number("lr", "learning rate").value(1e-3).at_least(0),
        option::number("beta1", "decay of the gradient's running mean")
            .value(0.9)
            .at_least(0)
            .below(1),
        option::number("beta2", "decay of the squared gradient's running mean")
            .value(0.999)
            .at_least(0)
            .below(1),
        option::number("eps", "added to the bias-corrected root").value(1e-8).at_least(0),
        option::number("weight_decay", "decoupled: each step multiplies weights by 1 - lr * this")
            .value(0.01)
            .at_least(0),
    };
  }

  AdamW(const Options&, Host&) {}

  void add_group(ParameterGroup group) override {
    check_new_group(groups_, group);
    std::vector<Moments> moments;
    const c10::NoGradGuard no_grad;
    for (const auto& p : group.parameters) {
      // The kernel walks parameter, gradient and moments as flat memory.
      GAMUT_CHECK(p.tensor.is_non_overlapping_and_dense(), "parameter `", p.name,
                  "` is a view with gaps; give adamw a contiguous tensor");
      Moments m;
      m.step = at::zeros({}, p.tensor.options().dtype(at::kFloat));
      m.mean = at::zeros_like(p.tensor);
      m.square = at::zeros_like(p.tensor);
      moments.push_back(std::move(m));
    }
    moments_.push_back(std::move(moments));
    live_.emplace_back();
    Optimizer::add_group(std::move(group));
  }

  void step() override {
    prepare_step();
    step_on_device();
  }

  std::vector<std::string> live_options() const override { return {"lr"}; }

  void prepare_step() override {
    for (size_t i = 0; i < groups_.size(); ++i) {
      live_[i].set(groups_[i].parameters, {groups_[i].options.number("lr")});
    }
  }

  void step_on_device() override {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < groups_.size(); ++i) step_group(groups_[i], moments_[i], live_[i]);
  }

  NamedTensors state() const override {
    NamedTensors entries;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const auto& parameters = groups_[i].parameters;
      for (size_t j = 0; j < parameters.size(); ++j) {
        const std::string& name = parameters[j].name;
        const Moments& m = moments_[i][j];
        entries.push_back({"step/" + name, m.step});
        entries.push_back({"exp_avg/" + name, m.mean});
        entries.push_back({"exp_avg_sq/" + name, m.square});
      }
    }
    return entries;
  }

  void load_state(const NamedTensors& saved) override {
    const c10::NoGradGuard no_grad;
    restore_state(state(), saved);
  }

 private:
  struct Moments {
    at::Tensor step;  // float32 scalar: updates so far, what the bias correction needs
    at::Tensor mean;
    at::Tensor square;
  };

  // The lists that one call of the kernel takes: one device, one dtype.
  struct Call {
    std::vector<at::Tensor> parameters, gradients, means, squares, steps;
  };

  // The gradient with the parameter's dtype and memory layout, which the flat walk relies on.
  static at::Tensor gradient_of(const NamedTensor& p, const Moments& m) {
    const at::Tensor& gradient = p.tensor.grad();
    GAMUT_CHECK(gradient.layout() == at::kStrided, "the gradient of `", p.name,
                "` is sparse; adamw needs a dense one");
    GAMUT_CHECK(p.tensor.device() == m.mean.device() && p.tensor.dtype() == m.mean.dtype(),
                "parameter `", p.name, "` became ", p.tensor.dtype(), " on ", p.tensor.device(),
                " after adamw was made for ", m.mean.dtype(), " on ", m.mean.device(),
                "; make the optimizer after moving the model");
    if (gradient.dtype() == p.tensor.dtype() && gradient.strides() == p.tensor.strides()) {
      return gradient;
    }
    return at::empty_like(p.tensor).copy_(gradient);
  }

  static void step_group(const ParameterGroup& group, const std::vector<Moments>& moments,
                         LiveNumbers& live) {
    std::map<std::tuple<at::DeviceType, int, at::ScalarType>, Call> calls;
    for (size_t j = 0; j < group.parameters.size(); ++j) {
      const NamedTensor& p = group.parameters[j];
      if (!p.tensor.grad().defined()) continue;
      const Moments& m = moments[j];
      const at::Device device = p.tensor.device();
      Call& call = calls[{device.type(), device.index(), p.tensor.scalar_type()}];
      call.gradients.push_back(gradient_of(p, m));
      call.parameters.push_back(p.tensor);
      call.means.push_back(m.mean);
      call.squares.push_back(m.square);
      call.steps.push_back(m.step);
    }
    const Options& o = group.options;
    for (auto& entry : calls) {
      Call& c = entry.second;
      at::_foreach_add_(c.steps, 1);
      const at::Tensor lr = live.get(c.parameters[0].device(), 0);
      at::_fused_adamw_(c.parameters, c.gradients, c.means, c.squares, /*max_exp_avg_sqs=*/{},
                        c.steps, lr, o.number("beta1"), o.number("beta2"), o.number("weight_decay"),
                        o.number("eps"), /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }

  std::vector<std::vector<Moments>> moments_;  // as groups_ and their parameters
  std::vector<LiveNumbers> live_;              // as groups_
};

}  // namespace
}  // namespace gamut

GAMUT_OPTIMIZER(gamut::AdamW, "adamw", "1.0.0",
                "AdamW with decoupled weight decay, LibTorch's fused kernel")
