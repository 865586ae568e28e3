// The attention layer; see README.md for the equations and the options of known models.
#include "attention.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <gamut/init.h>

#include "causal.h"
#include "kv_cache.h"

namespace gamut::attention {

using at::Tensor;

namespace {

int64_t head_count(const Options& options) {
  if (options.has("n_heads")) return options.integer("n_heads");
  return std::max<int64_t>(1, options.integer("d_model") / 64);
}

int64_t default_head_dim(int64_t d_model, int64_t heads) {
  GAMUT_CHECK(d_model % heads == 0, "d_model = ", d_model,
              " is not a multiple of n_heads = ", heads, "; give head_dim as well");
  return d_model / heads;
}

Rope make_rope(const Options& options, int64_t head_dim) {
  Rope rope;
  const auto& pairs = options.string("rope");
  if (pairs == "none") return rope;
  rope.pairs = pairs == "half" ? RopePairs::half : RopePairs::interleaved;
  rope.base = options.number("rope_base");
  rope.dim = options.has("rope_dim") ? options.integer("rope_dim") : head_dim;
  rope.reverse = options.boolean("rope_reverse");
  GAMUT_CHECK(rope.dim % 2 == 0 && rope.dim <= head_dim, "rope_dim = ", rope.dim,
              " must be even and at most head_dim = ", head_dim);
  return rope;
}

}  // namespace

Attention::Attention(const Options& options, Host& /*host*/)
    : d_model_(options.integer("d_model")),
      heads_(head_count(options)),
      kv_heads_(options.has("n_kv_heads") ? options.integer("n_kv_heads") : heads_),
      head_dim_(options.has("head_dim") ? options.integer("head_dim")
                                        : default_head_dim(d_model_, heads_)),
      window_(options.integer("window")),
      qk_norm_(options.string("qk_norm")),
      qk_norm_eps_(options.number("qk_norm_eps")),
      dropout_(options.number("dropout")),
      scale_(options.has("scale") ? options.number("scale")
                                  : 1 / std::sqrt(static_cast<double>(head_dim_))),
      rope_(make_rope(options, head_dim_)) {
  GAMUT_CHECK(heads_ % kv_heads_ == 0, "n_heads = ", heads_,
              " must be a multiple of n_kv_heads = ", kv_heads_);
  const auto draw = [&](int64_t rows, int64_t columns) {
    return init::weight(options.string("init"), {rows, columns}, options.number("init_std"));
  };
  const int64_t width = heads_ * head_dim_, kv_width = kv_heads_ * head_dim_;
  q_proj_ = register_parameter("q_proj.weight", draw(width, d_model_));
  k_proj_ = register_parameter("k_proj.weight", draw(kv_width, d_model_));
  v_proj_ = register_parameter("v_proj.weight", draw(kv_width, d_model_));
  o_proj_ = register_parameter(
      "o_proj.weight", init::scaled(draw(d_model_, width), options.number("out_init_scale")));
  if (qk_norm_ == "rms") {
    q_norm_ = register_parameter("q_norm.weight", at::ones({head_dim_}));
    k_norm_ = register_parameter("k_norm.weight", at::ones({head_dim_}));
  }
  if (options.has("q_gain")) {
    q_gain_ =
        register_parameter("q_gain", at::full({heads_}, options.number("q_gain"), at::kFloat));
  }
}

State Attention::new_state(int64_t batch) const {
  const auto options = k_proj_.options().requires_grad(false);
  State state;
  state.tensors.push_back({"k", at::empty({batch, kv_heads_, 0, head_dim_}, options)});
  state.tensors.push_back({"v", at::empty({batch, kv_heads_, 0, head_dim_}, options)});
  state.tensors.push_back({"position", at::zeros({batch}, at::kLong)});
  return state;
}

void Attention::check_input(const Tensor& x) const {
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model_ && x.size(1) >= 1,
              "attention expects x [batch, time >= 1, d_model = ", d_model_, "], not ", x.sizes());
  GAMUT_CHECK(x.scalar_type() == q_proj_.scalar_type() ||
                  at::autocast::is_autocast_enabled(x.device().type()),
              "attention has ", q_proj_.scalar_type(), " parameters but got ", x.scalar_type(),
              " input; convert one of them or use autocast");
}

Tensor Attention::normalize(const Tensor& x, const Tensor& weight) const {
  if (qk_norm_ == "none") return x;
  const auto dtype = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto w = weight.defined() ? std::optional<Tensor>(weight.to(dtype)) : std::nullopt;
  return at::rms_norm(x.to(dtype), {head_dim_}, w, qk_norm_eps_);
}

// int64 [time], or [batch, time] where rows differ. `read` is undefined without a state.
Tensor Attention::positions(const Tensor& read, const Documents& documents,
                            const MixerContext& context) const {
  if (context.positions.defined()) {
    GAMUT_CHECK(context.positions.dim() == 1 && context.positions.size(0) == documents.time() &&
                    context.positions.scalar_type() == at::kLong,
                "positions must be int64 [time = ", documents.time(), "], not ",
                context.positions.scalar_type(), " ", context.positions.sizes());
    return context.positions;
  }
  const auto steps = at::arange(documents.time(), at::kLong);
  if (!documents.packed()) return read.defined() ? read.unsqueeze(1) + steps : steps;
  auto in_document = documents.position_in_document();
  if (!read.defined()) return in_document;
  // Only the first document of a row, where the two counts agree, continues.
  return in_document + (in_document == steps) * read.unsqueeze(1);
}

Attention::Heads Attention::project(const Tensor& x, const Tensor& positions) const {
  const auto heads = [&](const Tensor& weight, int64_t count) {
    return at::linear(x, weight).unflatten(2, {count, head_dim_});
  };
  auto q = heads(q_proj_, heads_), k = heads(k_proj_, kv_heads_);
  const auto v = heads(v_proj_, kv_heads_);
  q = apply_rope(normalize(q, q_norm_), positions, rope_);
  k = apply_rope(normalize(k, k_norm_), positions, rope_);
  if (q_gain_.defined()) q = q * q_gain_.unsqueeze(1);
  const auto dtype = v.scalar_type();
  return {q.to(dtype).transpose(1, 2), k.to(dtype).transpose(1, 2), v.transpose(1, 2)};
}

// One call a document; the first one of a row also sees what the row has cached. k and v end with
// the steps of this call.
Tensor Attention::by_document(const Heads& now, const Tensor& k, const Tensor& v,
                              const Tensor& read, const Documents& documents) const {
  const int64_t time = documents.time(), cached = k.size(2) - time;
  std::vector<Tensor> outputs;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const int64_t row = documents.row(i), length = documents.end(i) - documents.begin(i);
    const int64_t begin = documents.begin(i) - row * time;
    const int64_t before =
        read.defined() && documents.is_first(i) ? std::min(cached, read[row].item<int64_t>()) : 0;
    const auto part = [&](const Tensor& x, int64_t from, int64_t count) {
      return x.narrow(0, row, 1).narrow(2, from, count);
    };
    const auto y = causal_attention(
        part(now.q, begin, length), part(k, cached + begin - before, before + length),
        part(v, cached + begin - before, before + length), window_, scale_);
    outputs.push_back(y.squeeze(0).transpose(0, 1));  // [length, heads, head_dim]
  }
  return at::cat(outputs).view({documents.batch(), time, heads_ * head_dim_});
}

// Keeps what the last document of any row still needs. k and v: cached steps, then this call's.
void Attention::update(State& state, const Tensor& k, const Tensor& v, const Tensor& read,
                       const Documents& documents) const {
  auto position = read + documents.time();
  for (int64_t i = 0; i < documents.size(); ++i) {
    if (documents.is_last(i) && !documents.is_first(i)) {
      position[documents.row(i)] = documents.end(i) - documents.begin(i);
    }
  }
  const int64_t keep = std::min(k.size(2), position.max().item<int64_t>());
  state["k"] = k.detach().narrow(2, k.size(2) - keep, keep);
  state["v"] = v.detach().narrow(2, v.size(2) - keep, keep);
  state["position"] = position;
  state.position += documents.time();
}

Tensor Attention::forward(const Tensor& x, MixerContext& context) {
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  State* const state = context.state;
  Tensor read;
  if (state) {
    read = (*state)["position"].cpu();
    GAMUT_CHECK(read.size(0) == x.size(0), "the state is for ", read.size(0),
                " rows, the input has ", x.size(0));
  }
  const auto now = project(x, positions(read, documents, context));
  auto k = now.k, v = now.v;
  if (state) {
    k = append((*state)["k"], k, window_);
    v = append((*state)["v"], v, window_);
    update(*state, k, v, read, documents);
  }
  const bool ragged = read.defined() && !at::equal(read, read[0].expand_as(read));
  const auto y = documents.packed() || ragged
                     ? by_document(now, k, v, read, documents)
                     : causal_attention(now.q, k, v, window_, scale_).transpose(1, 2).flatten(2);
  return at::dropout(at::linear(y, o_proj_), dropout_, context.training);
}

}  // namespace gamut::attention

GAMUT_MIXER(gamut::attention::Attention, "attention", "1.0.0",
            "Causal softmax attention: grouped heads, rotary positions, optional window")
