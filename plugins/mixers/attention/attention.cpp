// The attention layer: its parameters, and causal attention over its own input. See README.md for
// the equations and the options of known models; cross.cpp for the attention over a memory.
#include "attention.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <gamut/init.h>
#include <gamut/ops/rope.h>

#include <algorithm>
#include <cmath>

#include "attend.h"
#include "kv_cache.h"
#include "layouts.h"

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
  const bool cross = options.boolean("cross");
  const std::string pairs =
      options.has("rope") ? options.string("rope") : std::string(cross ? "none" : "half");
  GAMUT_CHECK(!cross || pairs == "none",
              "cross-attention has no positions of its own; leave rope out or give \"none\"");
  if (pairs == "none") return rope;
  rope.pairs = pairs == "half" ? RopePairs::half : RopePairs::interleaved;
  rope.base = options.number("rope_base");
  rope.dim = options.has("rope_dim") ? options.integer("rope_dim") : head_dim;
  rope.reverse = options.boolean("rope_reverse");
  rope.bfloat16 = options.string("rope_dtype") == "bfloat16";
  GAMUT_CHECK(rope.dim % 2 == 0 && rope.dim <= head_dim, "rope_dim = ", rope.dim,
              " must be even and at most head_dim = ", head_dim);
  return rope;
}

std::optional<Tensor> if_defined(const Tensor& x) {
  return x.defined() ? std::optional<Tensor>(x) : std::nullopt;
}

// How many steps of its document each row has read.
std::vector<int64_t> steps_read(const State* state, int64_t batch) {
  if (!state) return std::vector<int64_t>(batch, 0);
  const auto read = (*state)["position"].cpu();
  GAMUT_CHECK(read.size(0) == batch, "the state is for ", read.size(0), " rows, the input has ",
              batch);
  const auto* steps = read.const_data_ptr<int64_t>();
  return {steps, steps + batch};
}

bool all_equal(const std::vector<int64_t>& values) {
  return std::all_of(values.begin(), values.end(), [&](int64_t n) { return n == values[0]; });
}

}  // namespace

Attention::Attention(const Options& options, Host& /*host*/)
    : d_model_(options.integer("d_model")),
      heads_(head_count(options)),
      kv_heads_(options.has("n_kv_heads") ? options.integer("n_kv_heads") : heads_),
      head_dim_(options.has("head_dim") ? options.integer("head_dim")
                                        : default_head_dim(d_model_, heads_)),
      window_(options.integer("window")),
      cross_(options.boolean("cross")),
      d_memory_(options.has("d_memory") ? options.integer("d_memory") : d_model_),
      qk_norm_(options.string("qk_norm")),
      qk_norm_eps_(options.number("qk_norm_eps")),
      dropout_(options.number("dropout")),
      attn_dropout_(options.number("attn_dropout")),
      scale_(options.has("scale") ? options.number("scale")
                                  : 1 / std::sqrt(static_cast<double>(head_dim_))),
      rope_(make_rope(options, head_dim_)) {
  GAMUT_CHECK(heads_ % kv_heads_ == 0, "n_heads = ", heads_,
              " must be a multiple of n_kv_heads = ", kv_heads_);
  GAMUT_CHECK(!cross_ || window_ == 0, "cross-attention sees all of its memory; leave window out");
  GAMUT_CHECK(cross_ || !options.has("d_memory"), "d_memory belongs to cross = true");
  register_projections(options);
  if (qk_norm_ == "rms") {
    q_norm_ = register_parameter("q_norm.weight", at::ones({head_dim_}));
    k_norm_ = register_parameter("k_norm.weight", at::ones({head_dim_}));
  }
  if (options.has("q_gain")) {
    q_gain_ =
        register_parameter("q_gain", at::full({heads_}, options.number("q_gain"), at::kFloat));
  }
}

// Weights first: the order of the random draws does not depend on the biases.
void Attention::register_projections(const Options& options) {
  const int64_t width = heads_ * head_dim_, kv_width = kv_heads_ * head_dim_;
  const int64_t kv_input = cross_ ? d_memory_ : d_model_;
  const auto weight = [&](const char* name, int64_t rows, int64_t columns, double factor) {
    auto w = init::weight(options.string("init"), {rows, columns}, options.number("init_std"));
    return register_parameter(std::string(name) + ".weight",
                              factor == 1 ? w : init::scaled(w, factor));
  };
  q_.weight = weight("q_proj", width, d_model_, 1);
  k_.weight = weight("k_proj", kv_width, kv_input, 1);
  v_.weight = weight("v_proj", kv_width, kv_input, 1);
  o_.weight = weight("o_proj", d_model_, width, options.number("out_init_scale"));
  if (options.boolean("qkv_bias")) {
    q_.bias = register_parameter("q_proj.bias", at::zeros({width}));
    k_.bias = register_parameter("k_proj.bias", at::zeros({kv_width}));
    v_.bias = register_parameter("v_proj.bias", at::zeros({kv_width}));
  }
  if (options.boolean("out_bias"))
    o_.bias = register_parameter("o_proj.bias", at::zeros({d_model_}));
}

State Attention::new_state(int64_t batch) const {
  const auto options = k_.weight.options().requires_grad(false);
  State state;
  state.tensors.push_back({"k", at::empty({batch, kv_heads_, 0, head_dim_}, options)});
  state.tensors.push_back({"v", at::empty({batch, kv_heads_, 0, head_dim_}, options)});
  state.tensors.push_back({cross_ ? "lengths" : "position", at::zeros({batch}, at::kLong)});
  return state;
}

void* Attention::query(std::string_view id) {
  if (id == MemoryReader::kId && cross_) return static_cast<MemoryReader*>(this);
  if (id == WeightImport::kId) return static_cast<WeightImport*>(this);
  return nullptr;
}

std::optional<NamedTensors> Attention::import_weights(const NamedTensors& given) const {
  const HeadSizes sizes{heads_, kv_heads_, head_dim_, rope_, d_memory_ == d_model_};
  return weights::import_by_layout(*this, foreign_layouts(sizes), given);
}

void Attention::check_input(const Tensor& x) const {
  GAMUT_CHECK(x.dim() == 3 && x.size(2) == d_model_ && x.size(0) >= 1 && x.size(1) >= 1,
              "attention expects x [batch >= 1, time >= 1, d_model = ", d_model_, "], not ",
              x.sizes());
  GAMUT_CHECK(x.scalar_type() == q_.weight.scalar_type() ||
                  at::autocast::is_autocast_enabled(x.device().type()),
              "attention has ", q_.weight.scalar_type(), " parameters but got ", x.scalar_type(),
              " input; convert one of them or use autocast");
}

Tensor Attention::heads_of(const Tensor& x, const Projection& projection, int64_t count) const {
  return at::linear(x, projection.weight, if_defined(projection.bias))
      .unflatten(2, {count, head_dim_});
}

// Norm, rotation and gain, in one pass; [batch, time, heads, head_dim].
Tensor Attention::positioned(const Tensor& heads, const Tensor& norm, const Tensor& gain,
                             const Angles& angles) const {
  const bool normalizes = qk_norm_ != "none";
  if (!normalizes && !gain.defined() && rope_.pairs == RopePairs::none) return heads;
  return ops::rope(heads, angles.cos, angles.sin, rope_.pairs == RopePairs::interleaved,
                   if_defined(norm), normalizes ? std::optional(qk_norm_eps_) : std::nullopt,
                   if_defined(gain));
}

// heads [batch, time, n_heads, head_dim] -> [batch, time, d_model]
Tensor Attention::output(const Tensor& heads, const MixerContext& context) const {
  const auto y = at::linear(heads.flatten(2), o_.weight, if_defined(o_.bias));
  return at::dropout(y, dropout_, context.training);
}

double Attention::weight_dropout(const MixerContext& context) const {
  return context.training ? attn_dropout_ : 0;
}

// int64 [time], or [batch, time] where rows differ. Where all rows are alike they are made on the
// device, so that nothing waits for them and a step can be recorded.
Tensor Attention::positions(const std::vector<int64_t>& read, const Documents& documents,
                            const MixerContext& context, at::Device device) const {
  const int64_t time = documents.time();
  if (context.positions.defined()) {
    GAMUT_CHECK(context.positions.dim() == 1 && context.positions.size(0) == time &&
                    context.positions.scalar_type() == at::kLong,
                "positions must be int64 [time = ", time, "], not ",
                context.positions.scalar_type(), " ", context.positions.sizes());
    return context.positions;
  }
  if (!documents.packed() && all_equal(read)) {
    return at::arange(read[0], read[0] + time, at::TensorOptions(at::kLong).device(device));
  }
  const auto steps = at::arange(time, at::kLong), done = at::tensor(read, at::kLong).unsqueeze(1);
  if (!documents.packed()) return done + steps;
  const auto in_document = documents.position_in_document();
  // Only the first document of a row, where the two counts agree, continues.
  return in_document + (in_document == steps) * done;
}

// Full attention: the cache grows by this call's steps.
Attention::AllKeys Attention::with_cached(const Keys& now, const std::vector<int64_t>& read,
                                          State& state) const {
  AllKeys all;
  all.cached = state["k"].size(2);
  for (const int64_t n : read) all.before.push_back(std::min(all.cached, n));
  all.keys = {append(state["k"], now.k), append(state["v"], now.v)};
  state["k"] = all.keys.k.detach();
  state["v"] = all.keys.v.detach();
  return all;
}

// A window: the ring takes this call's steps. One step reads the ring as it lies, since softmax
// does not ask for an order, when all of it belongs to the row's document; otherwise it is put in
// order.
Attention::AllKeys Attention::with_ring(const Keys& now, const std::vector<int64_t>& read,
                                        State& state) const {
  const int64_t written = state.position, held = state["k"].size(2);
  const auto written_to = [&](const char* name, const Tensor& added) {
    return write(state[name], added, written, window_).detach();
  };
  const int64_t holds = std::min(written + 1, window_);
  const bool as_it_lies =
      now.k.size(2) == 1 && !at::GradMode::is_enabled() &&
      std::all_of(read.begin(), read.end(), [&](int64_t n) { return n + 1 >= holds; });
  AllKeys all;
  if (as_it_lies) {
    state["k"] = written_to("k", now.k);
    state["v"] = written_to("v", now.v);
    all.keys = {state["k"], state["v"]};
    all.cached = holds - 1;
    all.before.assign(read.size(), all.cached);
    return all;
  }
  const int64_t furthest = *std::max_element(read.begin(), read.end());
  all.cached = std::min({held, window_ - 1, furthest});
  for (const int64_t n : read) all.before.push_back(std::min(all.cached, n));
  const auto together = [&](const char* name, const Tensor& added) {
    if (all.cached == 0) return added;
    const auto earlier = latest(state[name], written, window_, all.cached);
    return at::cat({earlier.to(added.scalar_type()), added}, 2);
  };
  all.keys = {together("k", now.k), together("v", now.v)};
  state["k"] = written_to("k", now.k);
  state["v"] = written_to("v", now.v);
  return all;
}

// Counts this call's steps. A growing cache drops what no row's document needs any more.
void Attention::advance(State& state, std::vector<int64_t> read, const Documents& documents) const {
  for (int64_t i = 0; i < documents.size(); ++i) {
    if (!documents.is_last(i)) continue;
    const int64_t length = documents.end(i) - documents.begin(i);
    int64_t& steps = read[documents.row(i)];
    steps = documents.is_first(i) ? steps + length : length;
  }
  const int64_t furthest = *std::max_element(read.begin(), read.end());
  for (const char* name : {"k", "v"}) {
    auto& cache = state[name];
    const int64_t keep = std::min(cache.size(2), furthest);
    if (window_ == 0) cache = cache.narrow(2, cache.size(2) - keep, keep);
  }
  state["position"] = at::tensor(read, at::kLong);
  state.position += documents.time();
}

Tensor Attention::forward(const Tensor& x, MixerContext& context) {
  if (cross_) return attend_memory(x, nullptr, context);
  check_input(x);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const auto read = steps_read(context.state, x.size(0));
  const auto angle_type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto angles =
      angles_of(positions(read, documents, context, x.device()), rope_, angle_type, x.device());
  const auto q = positioned(heads_of(x, q_, heads_), q_norm_, q_gain_, angles).transpose(1, 2);
  const Keys now = {
      positioned(heads_of(x, k_, kv_heads_), k_norm_, Tensor(), angles).transpose(1, 2),
      heads_of(x, v_, kv_heads_).transpose(1, 2)};
  AllKeys all = {now, 0, read};
  if (context.state) {
    all =
        window_ > 0 ? with_ring(now, read, *context.state) : with_cached(now, read, *context.state);
    advance(*context.state, read, documents);
  }
  const auto seen = causal_spans(documents, all.before, all.cached, window_);
  return output(attend(q, all.keys.k, all.keys.v, seen, scale_, weight_dropout(context)), context);
}

}  // namespace gamut::attention

GAMUT_MIXER(gamut::attention::Attention, "attention", "1.1.0",
            "Softmax attention, causal or over a memory: grouped heads, rotary positions, window")
