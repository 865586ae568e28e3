// Weights of other projects: how a mixer takes tensors that are named and packed as in another
// project's checkpoints. nn's `module:load` asks it for tensors whose names are not the mixer's.
//
// What projects do differently is names and which rows of a matrix are whose, so that a layout is a
// table:
//
//     const weights::Layout fused = {"some project",
//                                    {{"q_proj.weight", "qkv.weight", rows(0, 64)},
//                                     {"k_proj.weight", "qkv.weight", rows(64, 96)},
//                                     {"o_proj.weight", "out.weight", {}}}};
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <gamut/mixer.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gamut {

// What Mixer::query("weights.import/1") gives, as a WeightImport*.
class WeightImport {
 public:
  static constexpr const char* kId = "weights.import/1";

  // `given`: everything that a checkpoint has for this mixer, names relative to it. Returns a
  // tensor for each of its parameters and buffers, under its own names and with their shapes, in
  // the dtype and on the device of what was given; or nothing when the names are the mixer's own,
  // complete or not, or nobody's. Changes nothing. Throws gamut::Error, naming the layout and what
  // is missing, unexpected or of another shape, when the tensors are of a known layout and do not
  // fit.
  virtual std::optional<NamedTensors> import_weights(const NamedTensors& given) const = 0;

 protected:
  ~WeightImport() = default;  // nobody owns a mixer through this
};

namespace weights {

// Indices along the first dimension.
using Rows = std::vector<int64_t>;

inline Rows rows(int64_t from, int64_t to) {
  Rows result;
  for (int64_t row = from; row < to; ++row) result.push_back(row);
  return result;
}

// The tensor `own` of the mixer is these rows of `foreign`, in this order; {}: all of it.
struct Part {
  std::string own;
  std::string foreign;
  Rows rows;
};

// Every row of a foreign tensor belongs to one part. Parts of tensors that the mixer, with its
// options, does not have are left out.
struct Layout {
  std::string project;  // for messages
  std::vector<Part> parts;
};

namespace detail {

constexpr size_t kNamesShown = 3;  // of each kind of problem

using ByName = std::map<std::string, at::Tensor>;

inline ByName by_name(const NamedTensors& tensors) {
  ByName result;
  for (const auto& t : tensors) result[t.name] = t.tensor;
  return result;
}

inline ByName own_tensors(const Module& module) {
  auto own = by_name(module.parameters());
  for (const auto& b : module.buffers()) own[b.name] = b.tensor;
  return own;
}

// What a layout asks for of one foreign tensor: the shape of its parts with their rows added up.
using Shapes = std::map<std::string, std::vector<int64_t>>;

inline Shapes expected_shapes(const Layout& layout, const ByName& own) {
  Shapes shapes;
  for (const auto& part : layout.parts) {
    const auto found = own.find(part.own);
    if (found == own.end()) continue;
    auto& shape = shapes[part.foreign];
    if (shape.empty()) {
      shape = found->second.sizes().vec();
    } else {
      shape[0] += found->second.size(0);
    }
  }
  return shapes;
}

// [channels, 1, taps] and [channels, taps] are the same weights.
inline bool same_but_for_ones(at::IntArrayRef a, at::IntArrayRef b) {
  const auto without_ones = [](at::IntArrayRef shape) {
    std::vector<int64_t> result;
    for (const int64_t n : shape) {
      if (n != 1) result.push_back(n);
    }
    return result;
  };
  return without_ones(a) == without_ones(b);
}

class Problems {
 public:
  void add(const std::string& title, const std::vector<std::string>& names) {
    if (names.empty()) return;
    text_ += (text_.empty() ? "" : "; ") + title + ": ";
    for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
      text_ += (i ? ", " : "") + names[i];
    }
    if (names.size() > kNamesShown) text_ += c10::str(" and ", names.size() - kNamesShown, " more");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

inline void check_fit(const Layout& layout, const Shapes& expected, const ByName& own,
                      const ByName& given) {
  std::vector<std::string> missing, unexpected, misshapen, lacking;
  for (const auto& [name, shape] : expected) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.push_back("`" + name + "`");
    } else if (!same_but_for_ones(found->second.sizes(), shape)) {
      misshapen.push_back(c10::str("`", name, "` is ", found->second.sizes(), " and should be ",
                                   at::IntArrayRef(shape)));
    }
  }
  for (const auto& entry : given) {
    if (!expected.count(entry.first)) unexpected.push_back("`" + entry.first + "`");
  }
  for (const auto& entry : own) {
    const bool covered = std::any_of(layout.parts.begin(), layout.parts.end(),
                                     [&](const Part& part) { return part.own == entry.first; });
    if (!covered) lacking.push_back("`" + entry.first + "`");
  }
  Problems problems;
  problems.add("missing", missing);
  problems.add("unexpected", unexpected);
  problems.add("of another shape", misshapen);
  problems.add("this mixer's options ask for more than that layout has", lacking);
  GAMUT_CHECK(problems.text().empty(), "the tensors are named as in ", layout.project,
              " and do not fit: ", problems.text());
}

// How many of the given names the layout knows.
inline size_t known_names(const ByName& given, const Shapes& expected) {
  return static_cast<size_t>(std::count_if(given.begin(), given.end(), [&](const auto& entry) {
    return expected.count(entry.first) != 0;
  }));
}

}  // namespace detail

// What a mixer's import_weights does: finds the layout that knows most of the given names, the
// mixer's own one before the others, checks that everything fits, and converts. `module` is the
// mixer.
inline std::optional<NamedTensors> import_by_layout(const Module& module,
                                                    const std::vector<Layout>& layouts,
                                                    const NamedTensors& given_list) {
  const auto own = detail::own_tensors(module), given = detail::by_name(given_list);
  detail::Shapes chosen_shapes;
  for (const auto& entry : own) chosen_shapes[entry.first] = entry.second.sizes().vec();
  const Layout* chosen = nullptr;
  for (const auto& layout : layouts) {
    auto shapes = detail::expected_shapes(layout, own);
    const auto known = detail::known_names(given, shapes);
    const auto best = detail::known_names(given, chosen_shapes);
    // Two foreign layouts that know as many: the one that misses fewer.
    if (known > best || (chosen && known == best && shapes.size() < chosen_shapes.size())) {
      chosen = &layout;
      chosen_shapes = std::move(shapes);
    }
  }
  if (!chosen) return std::nullopt;
  detail::check_fit(*chosen, chosen_shapes, own, given);
  NamedTensors result;
  for (const auto& part : chosen->parts) {
    const auto target = own.find(part.own);
    if (target == own.end()) continue;
    auto source = given.at(part.foreign);
    if (!part.rows.empty()) {
      source = at::index_select(source, 0, at::tensor(part.rows, at::kLong).to(source.device()));
    }
    result.push_back({part.own, source.reshape(target->second.sizes())});
  }
  return result;
}

}  // namespace weights
}  // namespace gamut
