// A sound mixer that breaks one clause of its contract on demand, to show that `gamut check` sees
// it.
//   h_t = a h_{t-1} + W x_t,   y_t = tanh(h_t) O
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gamut/mixer_input.h>
#include <gamut/plugin.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

// The identity, with one element of its gradient off by a hundredth.
struct WrongGradient : torch::autograd::Function<WrongGradient> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients) {
    at::Tensor gradient = gradients[0].clone();
    gradient.view({-1}).slice(0, 0, 1).mul_(1.01);
    return {gradient};
  }
};

class Faulty final : public gamut::Mixer {
 public:
  static gamut::OptionTable options() {
    return {gamut::option::integer("d_model", "width of the model").at_least(1),
            gamut::option::string("fault", "what to break")
                .value("none")
                .one_of({"none",         "future",          "block",         "wrong_gradient",
                         "no_gradient",  "ignores_state",   "hidden_state",  "position",
                         "documents",    "document_state",  "rows",          "random",
                         "unregistered", "shapes",          "writes_input",  "narrow",
                         "odd_length",   "empty_documents", "packed_step",   "empty_batch",
                         "divides",      "overflows",       "bfloat16",      "autocast",
                         "training",     "dropout_always",  "dropout_never", "dropout_repeats",
                         "threads"}),
            gamut::option::number("dropout", "share of outputs set to 0")
                .value(0.0)
                .at_least(0)
                .below(1)};
  }

  Faulty(const gamut::Options& options, gamut::Host&)
      : d_(options.integer("d_model")),
        dropout_(options.number("dropout")),
        fault_(options.string("fault")) {
    in_ = register_parameter("in.weight", at::randn({d_, d_}) * 0.2);
    if (is("unregistered")) {
      out_ = at::randn({d_, d_}) * 0.2;
    } else {
      out_ = register_parameter("out.weight", at::randn({d_, d_}) * 0.2);
    }
  }

  at::Tensor forward(const at::Tensor& input, gamut::MixerContext& context) override {
    if (!is("shapes")) gamut::check_mixer_input(input, d_, in_);
    if (input.numel() == 0 && !is("empty_batch")) return input.clone();
    at::Tensor x = input;
    if (is("writes_input")) x.detach().mul_(1.0001);
    if (is("future")) x = x + at::roll(x, -1, 1) * 1e-4;
    if (is("block")) x = x + x.slice(1, 64, 80).mean(1, /*keepdim=*/true) * 1e-4;
    if (is("rows")) x = x + x.mean(0, /*keepdim=*/true) * 1e-4;
    if (is("random")) x = x + at::rand_like(x.detach()) * 1e-5;
    if (is("narrow")) x = x.to(at::kFloat).to(x.scalar_type());
    at::Tensor w = in_;
    if (is("wrong_gradient")) w = WrongGradient::apply(w);
    if (is("no_gradient")) w = w.detach();
    if (is("divides")) x = x / x.norm(2, {-1}, /*keepdim=*/true);
    if (is("overflows")) x = x + x.exp() * 0;
    at::Tensor u = at::linear(x, w);
    if (is("bfloat16") && x.scalar_type() == at::kBFloat16) u = u * 1.2;
    if (is("autocast") && at::autocast::is_autocast_enabled(at::kCPU)) u = u * 1.2;
    if (is("threads")) u = u * (1 + 1e-3 * at::get_num_threads());
    if (is("training") && context.training) u = u * 1.001;
    const at::Tensor h = scan(u, context);
    return drop(at::linear(at::tanh(h), out_.to(h.scalar_type())), context.training);
  }

  gamut::State new_state(int64_t batch) const override {
    return {{{"h", at::zeros({batch, d_}, in_.options().requires_grad(false))}}, 0};
  }

 private:
  bool is(const char* fault) const { return fault_ == fault; }

  at::Tensor drop(const at::Tensor& y, bool training) const {
    const bool active = is("dropout_always") || (training && !is("dropout_never"));
    if (dropout_ == 0 || !active) return y;
    if (is("dropout_repeats")) return y * (at::arange(d_) % 2).to(y.scalar_type());
    return at::dropout(y, dropout_, /*train=*/true);
  }

  at::Tensor scan(const at::Tensor& u, gamut::MixerContext& context) {
    const int64_t batch = u.size(0), time = u.size(1);
    at::Tensor keep = at::ones({batch * time}, u.options());
    if (context.cu_seqlens.defined() && !is("documents")) {
      const at::Tensor starts = context.cu_seqlens.slice(0, 0, -1);
      keep.index_fill_(
          0, is("empty_documents") ? starts : starts.masked_select(starts < batch * time), 0);
    }
    keep = keep.view({batch, time, 1});
    const bool restarts = is("packed_step") && time == 1 && context.cu_seqlens.defined();
    if (!is("document_state") && !restarts) keep.select(1, 0).fill_(1);
    at::Tensor h = at::zeros({batch, d_}, u.options());
    if (context.state && !is("ignores_state")) h = (*context.state)["h"];
    if (context.state && is("hidden_state") && context.state->position > 0) h = hidden_;
    gamut::check_state_rows(h, u);
    std::vector<at::Tensor> all;
    if (is("odd_length") && time == 129) h = h + 1e-4;
    for (int64_t t = 0; t < time; ++t) {
      h = h * keep.select(1, t) * 0.9 + u.select(1, t);
      all.push_back(h);
    }
    if (context.state) {
      (*context.state)["h"] = hidden_ = h;
      context.state->position += is("position") ? 1 : time;
    }
    return at::stack(all, 1);
  }

  int64_t d_;
  double dropout_;
  std::string fault_;
  at::Tensor in_, out_, hidden_;
};

}  // namespace

GAMUT_MIXER(Faulty, "faulty_mixer", "1.0.0", "Breaks its contract on demand")
