// One token after the other: write, cut, score, read, mix.
#include "oracle.h"

namespace gamut::test {

OptionMap Variant::options() const {
  OptionMap options = {{"aggregation", text(aggregation.c_str())},
                       {"segments", text(segments.c_str())},
                       {"carry_over", text(carry_over.c_str())},
                       {"segment_size", OptionValue(segment_size)}};
  if (aggregation == "sparse") options["top_k"] = OptionValue(top_k);
  if (aggregation != "residual") options["score"] = text(score.c_str());
  if (max_segments > 0) options["max_segments"] = OptionValue(max_segments);
  return options;
}

std::string Variant::name() const {
  const std::string limit = max_segments > 0 ? "_last" + std::to_string(max_segments) : "";
  return aggregation + "_" + segments + "_" + carry_over + "_" + score + limit;
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const char* aggregation : {"gated_residual", "soup", "sparse", "residual"}) {
    for (const char* segments : {"constant", "logarithmic"}) {
      for (const char* carry_over : {"checkpoint", "independent"}) {
        Variant v;
        v.aggregation = aggregation;
        v.segments = segments;
        v.carry_over = carry_over;
        all.push_back(v);
      }
    }
  }
  return all;
}

namespace {

// A cached group of finished segments [first, first + count).
struct Cached {
  int64_t first;
  int64_t count;
};

// Which groups of n finished segments are cached.
std::vector<Cached> groups(const Variant& variant, int64_t n) {
  std::vector<Cached> list;
  if (variant.segments == "constant") {
    const int64_t most = variant.max_segments > 0 ? variant.max_segments : n;
    for (int64_t i = std::max<int64_t>(0, n - most); i < n; ++i) list.push_back({i, 1});
    return list;
  }
  int64_t first = 0;
  for (int64_t power = int64_t{1} << 40; power > 0; power /= 2) {
    if ((n & power) == 0) continue;
    list.push_back({first, power});
    first += power;
  }
  return list;
}

Memory combined(const std::vector<Memory>& memories, const std::vector<Tensor>& weights) {
  Memory sum;
  for (size_t i = 0; i < memories.front().size(); ++i) {
    Tensor part = memories[0][i] * weights[0];
    for (size_t j = 1; j < memories.size(); ++j) part = part + memories[j][i] * weights[j];
    sum.push_back(part);
  }
  return sum;
}

class Oracle {
 public:
  Oracle(const Variant& variant, Mixer& mixer, Mixer& inner, const Tensor& x)
      : variant_(variant), inner_(inner), recurrent_(*recurrent_of(inner)) {
    MixerContext context;
    features_ = recurrent_.project(x, context);
    if (variant.score == "query") {
      u_ = recurrent_.queries(features_);
      s_ = recurrent_.keys(features_);
    } else if (variant.aggregation != "residual") {
      u_ = at::matmul(x, parameter(mixer, "u_proj.weight").t());
      s_ = x;
    }
  }

  Tensor run(int64_t time) {
    std::vector<Tensor> reads;
    online_ = empty();
    for (int64_t t = 0; t < time; ++t) {
      if (t % variant_.segment_size == 0 && t > 0 && variant_.carry_over == "independent") {
        online_ = empty();
      }
      online_ = recurrent_.scan(step(t), online_, {}).memory;
      reads.push_back(read_at(t));
      if ((t + 1) % variant_.segment_size == 0) ends_.push_back(online_);
    }
    MixerContext context;
    return recurrent_.finish(at::cat(reads, 1), features_, context);
  }

 private:
  Memory empty() const { return memory_of(inner_.new_state(1), recurrent_.memory_names()); }

  NamedTensors step(int64_t t) const {
    NamedTensors one;
    for (const auto& f : features_) one.push_back({f.name, f.tensor.narrow(1, t, 1)});
    return one;
  }

  // M(q_t), before normalisation: [1, 1, ...].
  Tensor raw_read(int64_t t, const Memory& memory) {
    Memory stacked;
    for (const auto& m : memory) stacked.push_back(m.unsqueeze(1));
    return recurrent_.read(step(t), stacked).select(2, 0);
  }
  Tensor read(int64_t t, const Memory& memory) { return recurrent_.normalize(raw_read(t, memory)); }

  Memory memory_of_group(const Cached& group) const {
    Memory memory = ends_[static_cast<size_t>(group.first + group.count - 1)];
    if (variant_.carry_over == "checkpoint") return memory;
    for (int64_t i = group.first; i < group.first + group.count - 1; ++i) {
      for (size_t j = 0; j < memory.size(); ++j) {
        memory[j] = memory[j] + ends_[static_cast<size_t>(i)][j];
      }
    }
    return memory;
  }

  // Softmax of <u_t, mean of s>, over the groups and the online segment; sparse: of the top k.
  std::vector<Tensor> gates(int64_t t, const std::vector<Cached>& list) const {
    const int64_t c = variant_.segment_size, start = t / c * c;
    std::vector<double> scores;
    std::vector<Tensor> logits;
    const auto add = [&](int64_t from, int64_t to) {
      logits.push_back((u_.select(1, t) * s_.narrow(1, from, to - from).mean(1)).sum());
      scores.push_back(logits.back().item<double>());
    };
    for (const auto& g : list) add(g.first * c, (g.first + g.count) * c);
    if (variant_.aggregation == "sparse" && static_cast<int64_t>(list.size()) > variant_.top_k) {
      auto sorted = scores;
      std::sort(sorted.rbegin(), sorted.rend());
      const double least = sorted[static_cast<size_t>(variant_.top_k - 1)];
      for (size_t i = 0; i < list.size(); ++i) {
        if (scores[i] < least) logits[i] = at::full({}, -1e300, at::kDouble);
      }
    }
    add(start, t + 1);
    return at::softmax(at::stack(logits), 0).unbind(0);
  }

  Tensor read_at(int64_t t) {
    const auto list = groups(variant_, t / variant_.segment_size);
    std::vector<Memory> memories;
    for (const auto& g : list) memories.push_back(memory_of_group(g));
    memories.push_back(online_);
    std::vector<Tensor> weights(memories.size(), at::ones({}, at::kDouble));
    if (variant_.aggregation != "residual") weights = gates(t, list);
    if (variant_.aggregation == "soup") return read(t, combined(memories, weights));
    Tensor y = read(t, memories[0]) * weights[0];
    for (size_t i = 1; i < memories.size(); ++i) y = y + read(t, memories[i]) * weights[i];
    return y;
  }

  const Variant& variant_;
  Mixer& inner_;
  Recurrent& recurrent_;
  NamedTensors features_;
  Tensor u_, s_;
  Memory online_;
  std::vector<Memory> ends_;  // memories at the ends of the finished segments
};

}  // namespace

Tensor oracle(const Variant& variant, Mixer& mixer, Mixer& inner, const Tensor& x) {
  return Oracle(variant, mixer, inner, x).run(x.size(1));
}

}  // namespace gamut::test
