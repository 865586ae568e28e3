// The gated delta rule and SSD by CUDA kernels: inputs in their types and layouts, memory,
// autograd. Forward keeps the inputs, gates summed by chunks and, for the delta rule, the inverses
// of the chunks' solves; the states that enter chunks are computed again by the backward pass.
#include "ops/gated_delta_rule/device.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/device.h"
#include "ops/gated_delta_rule/rows_of_heads.h"
#include "ops/rows.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

const char* name_of(DeviceRule rule) {
  return rule == DeviceRule::ssd ? "ssd" : "gated_delta_rule";
}

// The type of q, k, v in the kernels: theirs, where they agree, else float32.
at::ScalarType element_type(const DeltaRuleInput& in) {
  const auto type = in.v.scalar_type();
  return in.q.scalar_type() == type && in.k.scalar_type() == type ? type : at::kFloat;
}

// The inputs as the kernels take them, kept alive.
struct Prepared {
  Tensor q, k, v, g, beta, initial_state, skip;
  Tensor offsets;  // on the device; undefined without documents
  cuda::DeltaRuleShape shape{};

  at::TensorOptions elements() const { return v.options(); }
  at::TensorOptions sums() const { return g.options(); }
  // Empty tensors with an entry for every slot and value head.
  Tensor per_chunk(std::vector<int64_t> sizes, const at::TensorOptions& options) const {
    sizes.insert(sizes.begin(), {cuda::delta_rule_slots(shape), shape.value_heads});
    return at::empty(sizes, options);
  }
};

// Where documents begin, on the device and in `shape`. Without documents nothing is copied there.
Tensor place_sequences(const DeltaRuleInput& in, cuda::DeltaRuleShape& shape) {
  shape.steps = in.v.size(0) * in.v.size(1);
  shape.sequences = in.v.size(0);
  shape.longest = in.v.size(1);
  if (!in.cu_seqlens.defined()) return {};
  const auto offsets = in.cu_seqlens.contiguous();
  const auto* begin = offsets.const_data_ptr<int64_t>();
  shape.sequences = offsets.numel() - 1;
  shape.longest = 0;
  for (int64_t i = 0; i < shape.sequences; ++i) {
    shape.longest = std::max(shape.longest, begin[i + 1] - begin[i]);
  }
  auto there = offsets.to(in.v.device());
  shape.offsets = there.const_data_ptr<int64_t>();
  return there;
}

Prepared prepare(const DeltaRuleInput& in, const Tensor& skip, DeviceRule rule) {
  const auto type = element_type(in);
  const auto sums = [](const Tensor& x) { return x.defined() ? x.to(at::kFloat).contiguous() : x; };
  Prepared p{as_rows_of_heads(in.q, type),
             as_rows_of_heads(in.k, type),
             as_rows_of_heads(in.v, type),
             sums(in.g),
             sums(in.beta),
             sums(in.initial_state),
             sums(skip),
             {},
             {}};
  p.shape.element = device_element(p.v);
  p.offsets = place_sequences(in, p.shape);
  p.shape.heads = in.q.size(2);
  p.shape.value_heads = in.v.size(2);
  p.shape.d_k = in.k.size(3);
  p.shape.d_v = in.v.size(3);
  p.shape.scale = in.scale;
  p.shape.solve = rule == DeviceRule::gated_delta;
  p.shape.value_first = !p.shape.solve;
  return p;
}

cuda::DeltaRuleForward arguments_of(const Prepared& p) {
  cuda::DeltaRuleForward args{};
  args.shape = p.shape;
  args.q = rows_of_heads<cuda::DeltaRuleRows>(p.q);
  args.k = rows_of_heads<cuda::DeltaRuleRows>(p.k);
  args.v = rows_of_heads<cuda::DeltaRuleRows>(p.v);
  args.g = p.g.const_data_ptr<float>();
  args.beta = p.beta.const_data_ptr<float>();
  args.skip = static_cast<const float*>(data_or_null(p.skip));
  args.initial_state = static_cast<const float*>(data_or_null(p.initial_state));
  return args;
}

// What the forward pass leaves for the backward pass, and the arguments by which both scan.
struct Scan {
  cuda::DeltaRuleForward args;
  Tensor gates, inverse, runs;

  Scan(const cuda::KernelTable& kernels, const Prepared& p) : args(arguments_of(p)) {
    args.plan = kernels.delta_rule_plan(p.shape, 0);
    runs = at::empty({args.plan.run_elements(p.shape)}, p.sums());
    args.runs = runs.mutable_data_ptr<float>();
  }

  void keep(const Tensor& kept_gates, const Tensor& kept_inverse) {
    gates = kept_gates;
    inverse = kept_inverse;
    args.gates = static_cast<cuda::DeltaRuleGate*>(gates.data_ptr());
    args.inverse = data_or_null_mutable(inverse);
  }
};

struct Forward {
  Tensor output, final_state, gates, inverse;
};

// Empty output and final state, and their places in the arguments.
Forward take_results(const Prepared& p, cuda::DeltaRuleForward& args) {
  const int64_t d_k = p.shape.d_k, d_v = p.shape.d_v;
  Forward result;
  result.output = at::empty(p.v.sizes(), p.elements());
  result.final_state = at::empty({p.shape.sequences, p.shape.value_heads,
                                  p.shape.value_first ? d_v : d_k, p.shape.value_first ? d_k : d_v},
                                 p.sums());
  args.output = result.output.mutable_data_ptr();
  args.final_state = result.final_state.mutable_data_ptr<float>();
  return result;
}

Forward run_forward(const cuda::KernelTable& kernels, const Prepared& p, DeviceRule rule) {
  const c10::DeviceGuard device(p.v.device());
  Scan scan(kernels, p);
  const int64_t chunk = cuda::delta_rule_chunk(p.shape);
  constexpr int64_t kGate = sizeof(cuda::DeltaRuleGate) / sizeof(float);
  scan.keep(p.per_chunk({chunk, kGate}, p.sums()),
            p.shape.solve ? p.per_chunk({chunk, chunk}, p.elements()) : Tensor());
  call(kernels.delta_rule_prepare, scan.args, p.v, name_of(rule));
  auto result = take_results(p, scan.args);
  call(kernels.delta_rule_scan, scan.args, p.v, name_of(rule));
  result.gates = scan.gates;
  result.inverse = scan.inverse;
  return result;
}

// Without gradients a few steps are taken one by one.
Forward run_plain(const cuda::KernelTable& kernels, const Prepared& p, DeviceRule rule) {
  if (p.shape.longest > cuda::kDeltaRuleMaxSteps) return run_forward(kernels, p, rule);
  auto args = arguments_of(p);
  auto result = take_results(p, args);
  call(kernels.delta_rule_steps, args, p.v, name_of(rule));
  return result;
}

struct Gradients {
  Tensor q, k, v, g, beta, initial_state, skip;
};

class Backward {
 public:
  Backward(const cuda::KernelTable& kernels, const Prepared& p, DeviceRule rule)
      : kernels_(kernels),
        p_(p),
        rule_(rule),
        device_(p.v.device()),
        scan_(kernels, p),
        d_k_(cuda::delta_rule_padded(p.shape.d_k)),
        d_v_(cuda::delta_rule_padded(p.shape.d_v)),
        chunk_(cuda::delta_rule_chunk(p.shape)) {}

  Gradients run(const Tensor& gates, const Tensor& inverse, const Tensor& d_output,
                const Tensor& d_final) {
    scan_.keep(gates, inverse);
    take_inputs(d_output, d_final);
    compute_states();
    take_memory();
    const auto result = take_results();
    call(kernels_.delta_rule_backward, args_, p_.v, name_of(rule_));
    return result;
  }

 private:
  void take_inputs(const Tensor& d_output, const Tensor& d_final) {
    const auto& from = scan_.args;
    args_.shape = p_.shape;
    args_.plan = kernels_.delta_rule_backward_plan(p_.shape, 0);
    args_.q = from.q;
    args_.k = from.k;
    args_.v = from.v;
    args_.skip = from.skip;
    args_.gates = from.gates;
    args_.inverse = from.inverse;
    d_output_ = d_output.defined() ? as_rows_of_heads(d_output, p_.v.scalar_type())
                                   : at::zeros(p_.v.sizes(), p_.elements());
    args_.d_output = rows_of_heads<cuda::DeltaRuleRows>(d_output_);
    if (!d_final.defined()) return;
    d_final_ = d_final.to(at::kFloat).contiguous();
    args_.d_final = d_final_.const_data_ptr<float>();
  }

  // The states that enter chunks, and V'.
  void compute_states() {
    const auto states = keep(p_.per_chunk({d_v_, d_k_}, p_.elements()));
    const auto errors = keep(p_.per_chunk({d_v_, chunk_}, p_.elements()));
    args_.states = scan_.args.states = states.mutable_data_ptr();
    args_.errors = scan_.args.errors = errors.mutable_data_ptr();
    call(kernels_.delta_rule_scan, scan_.args, p_.v, name_of(rule_));
  }

  void take_memory() {
    const auto memory = [this](const Tensor& t) { return keep(t).mutable_data_ptr(); };
    const auto& plan = args_.plan;
    args_.scores = memory(p_.per_chunk({chunk_, chunk_}, p_.elements()));
    args_.d_errors = memory(p_.per_chunk({d_v_, chunk_}, p_.elements()));
    args_.d_states = memory(p_.per_chunk({d_v_, d_k_}, p_.elements()));
    const auto floats = [&](int64_t n) {
      return static_cast<float*>(memory(at::empty({n}, p_.sums())));
    };
    args_.runs = floats(plan.scan.run_elements(p_.shape));
    args_.sums = floats(plan.sum_elements(p_.shape));
  }

  Gradients take_results() {
    const auto like = [](const Tensor& x) {
      return x.defined() ? at::empty(x.sizes(), x.options()) : Tensor();
    };
    Gradients d{like(p_.q),
                like(p_.k),
                like(p_.v),
                like(p_.g),
                like(p_.beta),
                like(p_.initial_state),
                p_.skip.defined() ? p_.per_chunk({}, p_.sums()) : Tensor()};
    args_.d_q = d.q.mutable_data_ptr();
    args_.d_k = d.k.mutable_data_ptr();
    args_.d_v = d.v.mutable_data_ptr();
    args_.d_g = d.g.mutable_data_ptr<float>();
    args_.d_beta = d.beta.mutable_data_ptr<float>();
    args_.d_initial = static_cast<float*>(data_or_null_mutable(d.initial_state));
    args_.d_skip = static_cast<float*>(data_or_null_mutable(d.skip));
    return d;
  }

  const Tensor& keep(const Tensor& t) {
    kept_.push_back(t);
    return kept_.back();
  }

  const cuda::KernelTable& kernels_;
  const Prepared& p_;
  const DeviceRule rule_;
  const c10::DeviceGuard device_;
  Scan scan_;
  const int64_t d_k_, d_v_, chunk_;  // padded
  cuda::DeltaRuleBackward args_{};
  Tensor d_output_, d_final_;
  std::vector<Tensor> kept_;
};

const cuda::KernelTable& kernels_of(const Tensor& x) {
  const auto* kernels = cuda::kernels_for(x.device());
  GAMUT_CHECK(kernels, "the CUDA kernels that computed a result on ", x.device(),
              " are not there for its gradients");
  return *kernels;
}

struct DeltaRuleOnDevice : torch::autograd::Function<DeltaRuleOnDevice> {
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k,
                               const Tensor& v, const Tensor& g, const Tensor& beta,
                               const std::optional<Tensor>& initial_state,
                               const std::optional<Tensor>& skip,
                               const std::optional<Tensor>& cu_seqlens, double scale,
                               int64_t rule) {
    const DeltaRuleInput in{
        q, k, v, g, beta, or_undefined(initial_state), or_undefined(cu_seqlens), scale};
    const auto as = static_cast<DeviceRule>(rule);
    const auto out = run_forward(kernels_of(v), prepare(in, or_undefined(skip), as), as);
    ctx->save_for_backward({q, k, v, g, beta, in.initial_state, or_undefined(skip), in.cu_seqlens,
                            out.gates, out.inverse});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["rule"] = rule;
    ctx->set_materialize_grads(false);
    return {out.output, out.final_state};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto rule = static_cast<DeviceRule>(ctx->saved_data["rule"].toInt());
    GAMUT_CHECK(!at::GradMode::is_enabled(), name_of(rule),
                " has no second derivative; call backward without create_graph, or use ",
                rule == DeviceRule::ssd ? "gamut::ssd_reference" : "gated_delta_rule_reference");
    const auto s = ctx->get_saved_variables();
    const DeltaRuleInput in{s[0], s[1], s[2], s[3],
                            s[4], s[5], s[7], ctx->saved_data["scale"].toDouble()};
    const auto p = prepare(in, s[6], rule);
    const auto d = Backward(kernels_of(in.v), p, rule).run(s[8], s[9], grads[0], grads[1]);
    const auto as = [](const Tensor& gradient, const Tensor& x) {
      return x.defined() ? gradient.to(x.scalar_type()) : Tensor();
    };
    const auto d_skip = s[6].defined() ? d.skip.sum(0) : Tensor();
    return {as(d.q, s[0]),
            as(d.k, s[1]),
            as(d.v, s[2]),
            as(d.g, s[3]),
            as(d.beta, s[4]),
            as(d.initial_state, s[5]),
            as(d_skip, s[6]),
            {},
            {},
            {}};
  }
};

bool needs_gradients(const DeltaRuleInput& in, const Tensor& skip) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto* x : {&in.q, &in.k, &in.v, &in.g, &in.beta, &in.initial_state, &skip}) {
    if (x->defined() && x->requires_grad()) return true;
  }
  return false;
}

}  // namespace

const cuda::KernelTable* delta_rule_kernels(const DeltaRuleInput& in) {
  cuda::DeltaRuleShape shape{};
  shape.d_k = in.k.size(3);
  shape.d_v = in.v.size(3);
  if (!cuda::delta_rule_supports(shape)) return nullptr;
  return device_kernels({in.v, in.q, in.k, in.g, in.beta, in.initial_state});
}

DeltaRuleResult delta_rule_on_device(const DeltaRuleInput& in, DeviceRule rule,
                                     const Tensor& skip) {
  // Under autocast conversions below would be undone.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  Tensor output, final_state;
  if (needs_gradients(in, skip)) {
    const auto out = DeltaRuleOnDevice::apply(
        in.q, in.k, in.v, in.g, in.beta, if_defined(in.initial_state), if_defined(skip),
        if_defined(in.cu_seqlens), in.scale, static_cast<int64_t>(rule));
    output = out[0];
    final_state = out[1];
  } else {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    const auto out = run_plain(kernels_of(in.v), prepare(in, skip, rule), rule);
    output = out.output;
    final_state = out.final_state;
  }
  return {output.to(in.v.scalar_type()), final_state};
}

}  // namespace gamut::ops
