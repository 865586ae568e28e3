// The mixer: project once, then by documents scan, cache and mix, then finish once.
#include "memory_cache.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gamut/init.h>
#include <gamut/mixer_input.h>

#include <map>

#include "rows.h"

namespace gamut::memory_cache {

using at::Tensor;

namespace {

constexpr const char* kSteps = "cache.steps";
constexpr const char* kMeans = "cache.means";
constexpr const char* kSum = "cache.sum";

std::unique_ptr<Mixer> make_inner(const Options& options, Host& host) {
  const std::string name = options.string("mixer");
  OptionMap inner = options.table("mixer_options");
  GAMUT_CHECK(inner.count("d_model") == 0,
              "mixer_options has d_model, which the wrapped mixer gets from memory_cache's own");
  inner["d_model"] = options.integer("d_model");
  auto mixer = host.create_mixer(name, inner);
  GAMUT_CHECK(recurrent_of(*mixer), "mixer `", name,
              "` has no memory that memory_cache could keep (it does not offer ", kRecurrent,
              "); wrap a recurrent one such as gdn or mamba");
  return mixer;
}

at::ScalarType compute_dtype(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// The width of the mixer's keys, found by a step of zeros.
int64_t key_width(Mixer& mixer, Recurrent& recurrent, int64_t d_model) {
  const c10::NoGradGuard no_grad;
  MixerContext context;
  const auto x = at::zeros({1, 1, d_model}, mixer.parameters().front().tensor.options());
  return recurrent.keys(recurrent.project(x, context)).size(2);
}

// The mean of s over the steps of the segment so far, at each step of the piece: a mean over the
// whole segment would tell a step of its future. `sum` [rows, width] goes from before to after.
Tensor running_means(const Piece& piece, const Tensor& s, Tensor& sum) {
  auto sums = s.cumsum(1);
  if (piece.offset > 0) sums = sums + sum.unsqueeze(1);
  sum = sums.select(1, piece.length - 1);
  const auto counts = at::arange(piece.offset + 1, piece.offset + piece.length + 1, sums.options());
  return sums / counts.view({1, -1, 1});
}

}  // namespace

MemoryCache::MemoryCache(const Options& options, Host& host)
    : settings_(read_settings(options)),
      inner_(make_inner(options, host)),
      recurrent_(inner_, recurrent_of(*inner_)),
      memory_names_(recurrent_->memory_names()) {
  GAMUT_CHECK(settings_.aggregation != Aggregation::soup || recurrent_->reads_linearly(),
              "aggregation = soup averages memories anew at every step, which is done through "
              "their reads and needs reads that are linear in the memory; those of mixer `",
              options.string("mixer"), "` are not; gated_residual and sparse serve any memory");
  register_module("", *inner_);  // under its own names, so that its checkpoints load
  const int64_t d_model = options.integer("d_model");
  if (settings_.score == Score::learned) {
    u_proj_ = register_parameter("u_proj.weight", init::kaiming_uniform({d_model, d_model}));
    width_ = d_model;
  } else if (settings_.score == Score::query) {
    width_ = key_width(*inner_, *recurrent_, d_model);
  }
}

State MemoryCache::new_state(int64_t batch) const {
  State state = inner_->new_state(batch);
  const auto add = [&](std::string name, Tensor tensor) {
    state.tensors.push_back({std::move(name), std::move(tensor)});
  };
  // On the CPU, where it is read.
  add(kSteps, at::zeros({batch}, at::kLong));
  const Memory memory = memory_of(state, memory_names_);
  for (size_t i = 0; i < memory.size(); ++i) {
    auto shape = memory[i].sizes().vec();
    shape.insert(shape.begin() + 1, 0);
    add("cache." + memory_names_[i], memory[i].new_zeros(shape));
  }
  if (settings_.score == Score::none) return state;
  const auto& parameter = parameters().front().tensor;
  const auto options = parameter.options().dtype(compute_dtype(parameter)).requires_grad(false);
  add(kMeans, at::zeros({batch, 0, width_}, options));
  add(kSum, at::zeros({batch, width_}, options));
  return state;
}

Memory MemoryCache::empty(int64_t rows) const {
  return memory_of(inner_->new_state(rows), memory_names_);
}

Scored MemoryCache::scored(const Tensor& x, const NamedTensors& features) const {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto dtype = compute_dtype(x);
  switch (settings_.score) {
    case Score::learned:
      return {at::linear(x.to(dtype), u_proj_.to(dtype)), x.to(dtype)};
    case Score::query:
      return {recurrent_->queries(features).to(dtype), recurrent_->keys(features).to(dtype)};
    case Score::none:
      break;
  }
  return {};
}

std::vector<MemoryCache::Group> MemoryCache::grouped(const Documents& documents,
                                                     const State* state) const {
  const Tensor steps = state ? (*state)[kSteps].cpu().contiguous() : Tensor();
  std::map<std::tuple<bool, int64_t, int64_t>, Group> groups;
  for (int64_t i = 0; i < documents.size(); ++i) {
    const bool continues = state && documents.is_first(i);
    const int64_t before = continues ? steps.const_data_ptr<int64_t>()[documents.row(i)] : 0;
    const int64_t length = documents.end(i) - documents.begin(i);
    auto& group = groups[{continues, before, length}];
    group.continues = continues;
    group.before = before;
    group.length = length;
    group.documents.push_back(i);
  }
  std::vector<Group> list;
  for (auto& entry : groups) list.push_back(std::move(entry.second));
  return list;
}

MemoryCache::Carried MemoryCache::begin(const Group& group, const Documents& documents,
                                        const State* state) const {
  const auto rows = static_cast<int64_t>(group.documents.size());
  if (!group.continues) return {empty(rows), {}, {}};
  std::vector<int64_t> row_list;
  for (const int64_t i : group.documents) row_list.push_back(documents.row(i));
  const auto of_rows = [&](const std::string& name) { return rows_of((*state)[name], row_list); };
  Carried carried;
  for (const auto& name : memory_names_) carried.online.push_back(of_rows(name));
  auto& cache = carried.cache;
  cache.size = cached_count(settings_, group.before / settings_.segment_size);
  if (settings_.score != Score::none) carried.sum = of_rows(kSum);
  if (cache.size == 0) return carried;
  for (const auto& name : memory_names_) {
    cache.memories.push_back(of_rows("cache." + name).narrow(1, 0, cache.size));
  }
  if (settings_.score != Score::none) cache.means = of_rows(kMeans).narrow(1, 0, cache.size);
  return carried;
}

// The segments that the pieces finish, with the means of what is scored; `means` [rows, time,
// width] become those of the online segment at each step of each piece, and `sum` what is carried
// on.
std::vector<Entry> MemoryCache::finish_segments(const std::vector<Piece>& pieces,
                                                std::vector<Memory> memories,
                                                std::vector<Tensor>& means, Tensor& sum) const {
  std::vector<Entry> finished;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (means[i].defined()) means[i] = running_means(pieces[i], means[i], sum);
    if (!pieces[i].finishes) continue;
    Entry entry{std::move(memories[finished.size()]), {}};
    if (settings_.stop_gradient) {
      for (auto& m : entry.memory) m = m.detach();
    }
    if (sum.defined()) entry.mean = sum / settings_.segment_size;
    finished.push_back(std::move(entry));
  }
  return finished;
}

MemoryCache::Outcome MemoryCache::run(const NamedTensors& features, const Scored& scored,
                                      const std::vector<Piece>& pieces,
                                      const Carried& before) const {
  const CutFeatures cut_features(features, pieces);
  Scans scans = scan(*recurrent_, settings_, cut_features, pieces, before.online,
                     [this](int64_t rows) { return empty(rows); });
  std::vector<Tensor> u(pieces.size()), means(pieces.size());
  if (scored.u.defined()) {
    u = cut(scored.u, pieces);
    means = cut(scored.s, pieces);
  }
  Tensor sum = before.sum;
  const auto finished = finish_segments(pieces, std::move(scans.finished), means, sum);
  const auto all = caches(settings_, pieces, before.cache, finished);
  std::vector<Stretch> stretches;
  for (size_t i = 0; i < pieces.size(); ++i) {
    stretches.push_back({cut_features.pieces[i], scans.reads[i], u[i], means[i]});
  }
  Reader reader{recurrent_, {}};
  for (const auto& p : inner_->parameters()) reader.parameters.push_back(p.tensor);
  auto read = mix(settings_, reader, cut_features, pieces, stretches, all);
  return {std::move(read), {std::move(scans.last), sum, all.seen.back()}};
}

void MemoryCache::keep(const std::vector<Group>& groups, const std::vector<Carried>& carried,
                       const Documents& documents, State& state) const {
  // Which row of which group is the last document of each row of the batch.
  std::vector<Place> last(static_cast<size_t>(documents.batch()));
  const Tensor counts =
      state[kSteps].to(at::kCPU, at::kLong, /*non_blocking=*/false, /*copy=*/true);
  auto* const steps = counts.mutable_data_ptr<int64_t>();
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < groups[g].documents.size(); ++i) {
      const int64_t document = groups[g].documents[i];
      if (!documents.is_last(document)) continue;
      const int64_t row = documents.row(document);
      last[static_cast<size_t>(row)] = {g, static_cast<int64_t>(i)};
      steps[row] = groups[g].before + groups[g].length;
    }
  }
  state[kSteps] = counts;  // on the CPU, where it is read, wherever the state was moved
  const auto store = [&](const std::string& name, auto part) {
    std::vector<Tensor> parts;
    for (const auto& c : carried) parts.push_back(part(c));
    state[name] = gathered(parts, last, state[name]).detach();
  };
  for (size_t i = 0; i < memory_names_.size(); ++i) {
    store(memory_names_[i], [i](const Carried& c) { return c.online[i]; });
    store("cache." + memory_names_[i],
          [i](const Carried& c) { return c.cache.size > 0 ? c.cache.memories[i] : Tensor(); });
  }
  if (settings_.score == Score::none) return;
  store(kSum, [](const Carried& c) { return c.sum; });
  store(kMeans, [](const Carried& c) { return c.cache.means; });
}

Tensor MemoryCache::mixed(const NamedTensors& features, const Scored& scored,
                          const Documents& documents, State* state) const {
  const auto groups = grouped(documents, state);
  std::vector<Tensor> reads;
  std::vector<Carried> carried;
  Regrouping regrouping(documents);
  for (const auto& group : groups) {
    regrouping.add(group.documents, group.length);
    Scored part = scored;
    if (scored.u.defined()) part = {regrouping.take(scored.u), regrouping.take(scored.s)};
    NamedTensors part_features;
    for (const auto& f : features) part_features.push_back({f.name, regrouping.take(f.tensor)});
    auto outcome = run(part_features, part, cut(group.before, group.length, settings_.segment_size),
                       begin(group, documents, state));
    reads.push_back(std::move(outcome.read));
    carried.push_back(std::move(outcome.carried));
  }
  if (state) keep(groups, carried, documents, *state);
  return regrouping.put_back(reads);
}

Tensor MemoryCache::forward(const Tensor& x, MixerContext& context) {
  State* const state = context.state;
  if (state && x.dim() == 3) check_state_rows((*state)[kSteps], x);
  if (x.dim() == 3 && x.size(0) == 0) return inner_->forward(x, context);
  const auto features = recurrent_->project(x, context);
  const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
  const auto read = mixed(features, scored(x, features), documents, state);
  if (state) state->position += x.size(1);
  return recurrent_->finish(read, features, context);
}

}  // namespace gamut::memory_cache

GAMUT_MIXER(gamut::memory_cache::MemoryCache, "memory_cache", "1.0.0",
            "Memory Caching around a recurrent mixer: reads the memories of earlier segments too")
