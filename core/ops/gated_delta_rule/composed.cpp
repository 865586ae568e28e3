// The gated delta rule in chunks, forward and backward, as batched matrix products.
//
// Within a chunk, with G the running sum of g, Gam_ij = exp(G_i - G_j) for i >= j and 0 above,
// B = diag(beta) K the keys that are written, and S the state that enters:
//
//     E  = (I + N)^-1 (V - diag(e^G) K S)       N = strict_tril(K B^T . Gam)
//     O  = diag(e^G) Q S + (Q B^T . Gam) E
//     S' = e^{G_C} S + (diag(e^{G_C - G}) B)^T E
//
// E [chunk, d_v] are the errors; Q holds the scale.
//
// Keeping beta inside B alone makes K and Q alike: X = [Q; K] shares every product, in both
// directions. Only the state passes from chunk to chunk; the backward pass recomputes the states
// and keeps none.
#include <ATen/ATen.h>
#include <gamut/error.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/gated_delta_rule/chunk_plan.h"
#include "ops/gated_delta_rule/delta_rule.h"
#include "ops/gated_delta_rule/triangular.h"

namespace gamut::ops {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Everything about the chunks that does not depend on a state. m counts chunks times value heads,
// c is the chunk size.
struct Chunks {
  Tensor x;        // [m, 2c, d_k]: scaled queries above keys
  Tensor b;        // [m, c, d_k]: beta k
  Tensor v;        // [m, c, d_v]
  Tensor beta;     // [m, c, 1]
  Tensor decayed;  // [m, c, 1]: e^G, from the chunk's start through each step
  Tensor left;     // [m, c, 1]: e^{G_C - G}, from each step to the chunk's end
  Tensor gam;      // [m, 1, c, c]
  Tensor xe;       // [m, 2c, d_k]: diag(e^G) x
  Tensor written;  // [m, c, d_k]: diag(left) b
  Tensor f;        // [m, 2c, c]: x b^T . gam; the diagonal of its lower half is not used
};

Tensor queries(const Tensor& stacked) {
  return stacked.narrow(1, 0, stacked.size(1) / 2);
}
Tensor keys(const Tensor& stacked) {
  const int64_t c = stacked.size(1) / 2;
  return stacked.narrow(1, c, c);
}
// Both halves of a stacked tensor as [m, 2, c, d].
Tensor halves(const Tensor& stacked) {
  return stacked.unflatten(1, {2, stacked.size(1) / 2});
}

Chunks make_chunks(const ChunkPlan& plan, const DeltaRuleInput& in, at::ScalarType dtype) {
  const int64_t c = plan.chunk_size(), heads = in.v.size(2), m = plan.chunks() * heads;
  const int64_t repeat = heads / in.q.size(2), d_k = in.k.size(3);
  const auto options = in.v.options().dtype(dtype);
  const auto packed = [&](const Tensor& x) {
    auto out = at::empty({m, c, x.size(3)}, options);
    plan.pack(x, 1, out);
    return out;
  };
  Chunks ch;
  ch.x = at::empty({m, 2 * c, d_k}, options);
  plan.pack(in.q, repeat, queries(ch.x));
  queries(ch.x).mul_(in.scale);
  plan.pack(in.k, repeat, keys(ch.x));
  ch.v = packed(in.v);
  ch.beta = packed(in.beta.unsqueeze(-1));
  const auto gate = packed(in.g.unsqueeze(-1)).cumsum_(1);
  ch.b = keys(ch.x) * ch.beta;
  ch.decayed = gate.exp();
  ch.left = (gate.narrow(1, c - 1, 1) - gate).exp_();
  // Above the diagonal the exponent is positive and may overflow; tril_ overwrites it.
  ch.gam = (gate - gate.transpose(1, 2)).exp_().tril_().unsqueeze(1);
  ch.xe = (halves(ch.x) * ch.decayed.unsqueeze(1)).flatten(1, 2);
  ch.written = ch.b * ch.left;
  ch.f = at::bmm(ch.x, ch.b.transpose(1, 2));
  halves(ch.f).mul_(ch.gam);
  return ch;
}

// The scans below run over the steps of the plan; at each, the sequences that still have a chunk
// are the first rows of a state. Views of a packed tensor, one a step:
std::vector<Tensor> by_step(const ChunkPlan& plan, const Tensor& packed) {
  const int64_t heads = packed.size(0) / std::max<int64_t>(plan.chunks(), 1);
  std::vector<int64_t> rows;
  for (const int64_t active : plan.active()) rows.push_back(active * heads);
  return packed.split_with_sizes(rows);
}

struct Scan {
  Tensor errors;    // [m, c, d_v]
  Tensor entering;  // [m, d_k, d_v]: the state at the start of every chunk
  Tensor state;     // [sequences * heads, d_k, d_v]: where each sequence ends
};

// `errors` and `state` come as T V and the initial states and are overwritten.
Scan scan(const ChunkPlan& plan, const Chunks& ch, const Tensor& w, Tensor errors, Tensor state) {
  const int64_t c = plan.chunk_size(), steps = plan.active().size();
  auto entering = at::empty({ch.v.size(0), ch.x.size(2), ch.v.size(2)}, ch.v.options());
  const auto w_at = by_step(plan, w), e_at = by_step(plan, errors),
             written_at = by_step(plan, ch.written.transpose(1, 2)),
             decay_at = by_step(plan, ch.decayed.narrow(1, c - 1, 1)),
             entering_at = by_step(plan, entering);
  for (int64_t i = 0; i < steps; ++i) {
    auto s = entering_at[i], e = e_at[i];
    const int64_t rows = s.size(0);
    // Where all go on, a state is computed straight into its next place.
    const bool stays = i > 0 && entering_at[i - 1].size(0) == rows;
    if (!stays) s.copy_(state.narrow(0, 0, rows));
    const bool all_go_on = i + 1 < steps && entering_at[i + 1].size(0) == rows;
    auto next = all_go_on ? entering_at[i + 1] : state.narrow(0, 0, rows);
    e.baddbmm_(w_at[i], s, 1, -1);
    at::mul_out(next, s, decay_at[i]);
    next.baddbmm_(written_at[i], e);
  }
  return {errors, entering, state};
}

struct ReverseScan {
  Tensor d_errors;  // [m, c, d_v]
  Tensor leaving;   // [m, d_k, d_v]: gradient of the state at the end of every chunk
  Tensor d_state;   // [sequences * heads, d_k, d_v]: gradient of the initial states
};

// `d_errors` comes as what the outputs contribute, `d_state` as the gradient of the final states;
// both are overwritten.
ReverseScan reverse_scan(const ChunkPlan& plan, const Chunks& ch, const Tensor& w,
                         const Tensor& d_output, Tensor d_errors, Tensor d_state) {
  const int64_t c = plan.chunk_size(), last = static_cast<int64_t>(plan.active().size()) - 1;
  auto leaving = at::empty({ch.v.size(0), ch.x.size(2), ch.v.size(2)}, ch.v.options());
  const auto w_at = by_step(plan, w.transpose(1, 2)), e_at = by_step(plan, d_errors),
             written_at = by_step(plan, ch.written), out_at = by_step(plan, d_output),
             decay_at = by_step(plan, ch.decayed.narrow(1, c - 1, 1)),
             q_at = by_step(plan, queries(ch.xe).transpose(1, 2)),
             leaving_at = by_step(plan, leaving);
  for (int64_t i = last; i >= 0; --i) {
    auto d = leaving_at[i], e = e_at[i];
    const int64_t rows = d.size(0);
    const bool stays = i < last && leaving_at[i + 1].size(0) == rows;
    if (!stays) d.copy_(d_state.narrow(0, 0, rows));
    const bool none_join = i > 0 && leaving_at[i - 1].size(0) == rows;
    auto next = none_join ? leaving_at[i - 1] : d_state.narrow(0, 0, rows);
    e.baddbmm_(written_at[i], d);
    at::mul_out(next, d, decay_at[i]);
    next.baddbmm_(q_at[i], out_at[i]).baddbmm_(w_at[i], e, 1, -1);
  }
  return {d_errors, leaving, d_state};
}

Tensor row_sum(const Tensor& a, const Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/true);
}

// [sequences, heads, d_k, d_v] in the caller's order -> sorted [sequences * heads, d_k, d_v],
// always a new tensor.
Tensor sorted_state(const ChunkPlan& plan, const Tensor& state, const DeltaRuleInput& in,
                    at::ScalarType dtype) {
  const int64_t heads = in.v.size(2), d_k = in.k.size(3), d_v = in.v.size(3);
  if (!state.defined()) {
    return at::zeros({plan.sequences() * heads, d_k, d_v}, in.v.options().dtype(dtype));
  }
  return plan.sort(state.to(dtype)).reshape({plan.sequences() * heads, d_k, d_v});
}

struct Gradients {
  Tensor q, k, v, g, beta;
};

// Gradients of everything but the states, in the inputs' layout. dy [m, 2c, d_v] holds the packed
// gradient of the output in its upper half; the lower half is filled here.
Gradients input_gradients(const ChunkPlan& plan, const Chunks& ch, const Tensor& inverse,
                          const Scan& fwd, const ReverseScan& rev, const Tensor& dy,
                          const DeltaRuleInput& in) {
  const int64_t c = plan.chunk_size(), heads = in.v.size(2), repeat = heads / in.q.size(2);
  const auto d_v = at::bmm(inverse.transpose(1, 2), rev.d_errors);
  keys(dy).copy_(d_v).neg_();
  auto d_f = at::bmm(dy, fwd.errors.transpose(1, 2));
  halves(d_f).mul_(ch.gam);
  keys(d_f).diagonal(0, 1, 2).zero_();

  auto d_x = at::bmm(dy, fwd.entering.transpose(1, 2));
  halves(d_x).mul_(ch.decayed.unsqueeze(1));
  d_x.baddbmm_(d_f, ch.b);
  const auto d_written = at::bmm(fwd.errors, rev.leaving.transpose(1, 2)).mul_(ch.left);
  const auto d_b = at::baddbmm(d_written, d_f.transpose(1, 2), ch.x);

  const auto from_b = row_sum(d_b, keys(ch.x));  // also the gradient of beta
  auto d_gate = halves(row_sum(d_x, ch.x)).sum(1).sub_(from_b * ch.beta);
  const auto through_state =
      row_sum(fwd.entering, rev.leaving).sum(1, true).mul_(ch.decayed.narrow(1, c - 1, 1)) +
      row_sum(d_written, ch.b).sum(1, true);
  d_gate.narrow(1, c - 1, 1).add_(through_state);
  const auto d_g = d_gate.flip(1).cumsum_(1).flip(1);

  auto d_k = at::addcmul(keys(d_x), d_b, ch.beta);
  auto d_q = queries(d_x) * in.scale;
  return {plan.unpack(d_q, heads / repeat, repeat), plan.unpack(d_k, heads / repeat, repeat),
          plan.unpack(d_v, heads, 1), plan.unpack(d_g, heads, 1).squeeze(-1),
          plan.unpack(from_b, heads, 1).squeeze(-1)};
}

at::ScalarType accumulation(const Tensor& v) {
  return v.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Inside the function there is no graph to record, and under autocast the products would silently
// run in bfloat16.
struct PlainOperators {
  at::AutoDispatchBelowADInplaceOrView no_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

using OptionalTensor = std::optional<Tensor>;  // autograd takes no undefined argument
OptionalTensor optional(const Tensor& x) {
  return x.defined() ? OptionalTensor(x) : std::nullopt;
}

struct ComposedDeltaRule : torch::autograd::Function<ComposedDeltaRule> {
  static variable_list forward(AutogradContext* ctx, const Tensor& q, const Tensor& k,
                               const Tensor& v, const Tensor& g, const Tensor& beta,
                               const OptionalTensor& initial_state,
                               const OptionalTensor& cu_seqlens, double scale, int64_t chunk_size) {
    const PlainOperators guard;
    const DeltaRuleInput in{
        q, k, v, g, beta, initial_state.value_or(Tensor()), cu_seqlens.value_or(Tensor()), scale};
    const auto dtype = accumulation(v);
    const ChunkPlan plan(v.size(0), v.size(1), in.cu_seqlens, chunk_size, v.device());
    const auto ch = make_chunks(plan, in, dtype);
    const auto inverse = unit_lower_inverse(keys(ch.f));
    const auto fwd = scan(plan, ch, at::bmm(inverse, keys(ch.xe)), at::bmm(inverse, ch.v),
                          sorted_state(plan, in.initial_state, in, dtype));
    auto output = at::bmm(queries(ch.xe), fwd.entering);
    output.baddbmm_(queries(ch.f).tril(), fwd.errors);
    ctx->save_for_backward({q, k, v, g, beta, in.initial_state, in.cu_seqlens, inverse});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["chunk_size"] = chunk_size;
    const auto state = fwd.state.view({plan.sequences(), v.size(2), k.size(3), v.size(3)});
    return {plan.unpack(output, v.size(2), 1).to(v.scalar_type()).contiguous(), plan.unsort(state)};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "the gated delta rule has no second derivative; call backward without "
                "create_graph");
    const PlainOperators guard;
    const auto saved = ctx->get_saved_variables();
    const DeltaRuleInput in{saved[0], saved[1], saved[2], saved[3],
                            saved[4], saved[5], saved[6], ctx->saved_data["scale"].toDouble()};
    const auto& inverse = saved[7];
    const auto dtype = accumulation(in.v);
    const ChunkPlan plan(in.v.size(0), in.v.size(1), in.cu_seqlens,
                         ctx->saved_data["chunk_size"].toInt(), in.v.device());
    const auto ch = make_chunks(plan, in, dtype);
    const auto w = at::bmm(inverse, keys(ch.xe));
    const auto fwd =
        scan(plan, ch, w, at::bmm(inverse, ch.v), sorted_state(plan, in.initial_state, in, dtype));

    const auto dy = at::zeros({ch.x.size(0), ch.x.size(1), ch.v.size(2)}, ch.v.options());
    const auto d_output = queries(dy);
    if (grads[0].defined()) plan.pack(grads[0], 1, d_output);
    const auto rev =
        reverse_scan(plan, ch, w, d_output, at::bmm(queries(ch.f).tril().transpose(1, 2), d_output),
                     sorted_state(plan, grads[1], in, dtype));
    const auto d = input_gradients(plan, ch, inverse, fwd, rev, dy, in);
    Tensor d_initial;
    if (in.initial_state.defined()) {
      d_initial =
          plan.unsort(rev.d_state.view_as(in.initial_state)).to(in.initial_state.scalar_type());
    }
    return {d.q.to(in.q.scalar_type()),
            d.k.to(in.k.scalar_type()),
            d.v.to(in.v.scalar_type()),
            d.g.to(in.g.scalar_type()),
            d.beta.to(in.beta.scalar_type()),
            d_initial,
            {},
            {},
            {}};
  }
};

}  // namespace

DeltaRuleResult delta_rule_composed(const DeltaRuleInput& in, int64_t chunk_size) {
  auto out = ComposedDeltaRule::apply(in.q, in.k, in.v, in.g, in.beta, optional(in.initial_state),
                                      optional(in.cu_seqlens), in.scale, chunk_size);
  return {out[0], out[1]};
}

}  // namespace gamut::ops
