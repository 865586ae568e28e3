// The state-space recurrence by its definition, and by chunks, in LibTorch's operators.
#include <ATen/ATen.h>
#include <gamut/documents.h>

#include "ops/rows.h"
#include "ops/ssd/ssd.h"

namespace gamut::ops {

using at::Tensor;

namespace {

constexpr int64_t kComposedChunk = 64;

// The inputs of one document in the type of sums, time first: x [T, H, P], dt and g = dt A [T, H],
// B and C [T, H, N], h [H, P, N].
struct Document {
  Tensor x, dt, g, b, c, h;
};

// What follows from a document: y [T, H, P] without D x, and the state after it.
struct Result {
  Tensor y, h;
};

Result by_steps(const Document& in) {
  Tensor h = in.h;
  std::vector<Tensor> y;
  for (int64_t t = 0; t < in.x.size(0); ++t) {
    const auto decay = in.g[t].exp().unsqueeze(-1).unsqueeze(-1);
    const auto added = (in.dt[t].unsqueeze(-1) * in.x[t]).unsqueeze(-1) * in.b[t].unsqueeze(-2);
    h = decay * h + added;
    y.push_back((h * in.c[t].unsqueeze(-2)).sum(-1));
  }
  return {at::stack(y), h};
}

Result by_chunks(const Document& in, int64_t chunk) {
  Tensor h = in.h;
  std::vector<Tensor> outputs;
  for (int64_t from = 0; from < in.x.size(0); from += chunk) {
    const auto length = std::min(chunk, in.x.size(0) - from);
    // Heads first from here.
    const auto part = [&](const Tensor& t) { return t.narrow(0, from, length).transpose(0, 1); };
    const auto b = part(in.b), c = part(in.c), a = part(in.g).cumsum(-1);
    const auto x = part(in.x) * part(in.dt).unsqueeze(-1);
    const auto apart = (a.unsqueeze(-1) - a.unsqueeze(-2)).tril();  // masked before exp
    const auto scores = at::matmul(c, b.transpose(1, 2)) * apart.exp();
    const auto last = a.narrow(-1, length - 1, 1);
    outputs.push_back(
        (at::matmul(scores.tril(), x) + at::matmul(c, h.transpose(1, 2)) * a.exp().unsqueeze(-1))
            .transpose(0, 1));
    h = h * last.exp().unsqueeze(-1) +
        at::matmul((x * (last - a).exp().unsqueeze(-1)).transpose(1, 2), b);
  }
  return {at::cat(outputs), h};
}

template <class Form>
std::tuple<Tensor, Tensor> by_documents(const Form& form, const Tensor& x, const Tensor& dt,
                                        const Tensor& A, const Tensor& B, const Tensor& C,
                                        const std::optional<Tensor>& D,
                                        const std::optional<Tensor>& dt_bias, bool dt_softplus,
                                        const std::optional<Tensor>& initial_state,
                                        const std::optional<Tensor>& cu_seqlens) {
  const Documents documents(or_undefined(cu_seqlens), x.size(0), x.size(1));
  const auto type = sum_type(x);
  const int64_t heads = x.size(2), repeats = heads / B.size(2);
  const auto wide = [&](const Tensor& t) { return t.to(type).flatten(0, 1); };
  const auto of_heads = [&](const Tensor& t) { return wide(t).repeat_interleave(repeats, 1); };
  const auto inputs = wide(x), b = of_heads(B), c = of_heads(C);
  auto step = wide(dt);
  if (dt_bias) step = step + dt_bias->to(type);
  if (dt_softplus) step = at::softplus(step);
  const auto g = step * A.to(type);
  const auto zeros = at::zeros({heads, x.size(3), B.size(3)}, inputs.options());
  std::vector<Tensor> outputs, states;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const auto part = [&](const Tensor& t) {
      return t.slice(0, documents.begin(i), documents.end(i));
    };
    const auto h = initial_state ? initial_state->select(0, i).to(type) : zeros;
    const Result r = form(Document{part(inputs), part(step), part(g), part(b), part(c), h});
    outputs.push_back(r.y);
    states.push_back(r.h);
  }
  auto y = at::cat(outputs);
  if (D) y = y + D->to(type).unsqueeze(-1) * inputs;
  return {y.view(x.sizes()).to(x.scalar_type()), at::stack(states)};
}

}  // namespace

std::tuple<Tensor, Tensor> ssd_reference(const Tensor& x, const Tensor& dt, const Tensor& A,
                                         const Tensor& B, const Tensor& C,
                                         const std::optional<Tensor>& D,
                                         const std::optional<Tensor>& dt_bias, bool dt_softplus,
                                         const std::optional<Tensor>& initial_state,
                                         const std::optional<Tensor>& cu_seqlens,
                                         int64_t /*chunk_size*/) {
  return by_documents(by_steps, x, dt, A, B, C, D, dt_bias, dt_softplus, initial_state, cu_seqlens);
}

std::tuple<Tensor, Tensor> ssd_composed(const Tensor& x, const Tensor& dt, const Tensor& A,
                                        const Tensor& B, const Tensor& C,
                                        const std::optional<Tensor>& D,
                                        const std::optional<Tensor>& dt_bias, bool dt_softplus,
                                        const std::optional<Tensor>& initial_state,
                                        const std::optional<Tensor>& cu_seqlens,
                                        int64_t chunk_size) {
  const int64_t chunk = chunk_size > 0 ? chunk_size : kComposedChunk;
  const auto form = [chunk](const Document& in) { return by_chunks(in, chunk); };
  return by_documents(form, x, dt, A, B, C, D, dt_bias, dt_softplus, initial_state, cu_seqlens);
}

}  // namespace gamut::ops
