// Exact loading of published weights: every name and shape must be what the model needs, or one
// sentence says what is not.
#pragma once

#include <ATen/core/Tensor.h>
#include <gamut/module.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace gamut::state {

// A tensor that a model needs.
struct Expected {
  std::string name;
  std::vector<int64_t> shape;
};

using ByName = std::map<std::string, at::Tensor>;

// Takes `prefix` off the names if every name begins with it; otherwise changes nothing.
inline NamedTensors without_prefix(NamedTensors tensors, const std::string& prefix) {
  const bool everywhere = std::all_of(tensors.begin(), tensors.end(), [&](const auto& entry) {
    return entry.name.compare(0, prefix.size(), prefix) == 0;
  });
  if (!everywhere) return tensors;
  for (auto& entry : tensors) entry.name.erase(0, prefix.size());
  return tensors;
}

// How many of the given names a layout knows: which layout a file is of.
inline int64_t known_names(const std::vector<Expected>& expected, const NamedTensors& given) {
  ByName by_name;
  for (const auto& entry : given) by_name[entry.name] = entry.tensor;
  return std::count_if(expected.begin(), expected.end(),
                       [&](const Expected& e) { return by_name.count(e.name) != 0; });
}

namespace detail {

// "3 missing, the first `a`": how many, and the first one.
class Complaint {
 public:
  explicit Complaint(const char* kind) : kind_(kind) {}
  void add(const std::string& what) {
    if (count_++ == 0) first_ = what;
  }
  int64_t count() const { return count_; }
  void append_to(std::string& text) const {
    if (count_ == 0) return;
    if (!text.empty()) text += "; ";
    text += c10::str(count_, " ", kind_, count_ == 1 ? ": " : ", the first ", first_);
  }

 private:
  const char* kind_;
  int64_t count_ = 0;
  std::string first_;
};

inline bool is_real(const at::Tensor& tensor) {
  return at::isFloatingType(tensor.scalar_type());
}

}  // namespace detail

// The tensors by name if `given` holds exactly what is expected, each of that shape and of a
// floating type. Otherwise throws one gamut::Error that begins with `what` (a file and what it was
// taken for) and tells how many tensors are missing, unexpected and misshapen, and the first of
// each in the order of `expected` and of the file.
inline ByName load_exactly(const std::string& what, const std::vector<Expected>& expected,
                           const NamedTensors& given) {
  detail::Complaint missing("missing"), unexpected("unexpected"), misshapen("misshapen");
  ByName tensors;
  for (const auto& entry : given) tensors[entry.name] = entry.tensor;
  std::map<std::string, bool> wanted;
  for (const auto& [name, shape] : expected) {
    wanted[name] = true;
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      missing.add("`" + name + "`");
    } else if (found->second.sizes() != at::IntArrayRef(shape)) {
      misshapen.add(c10::str("`", name, "`, which is ", found->second.sizes(), " and should be ",
                             at::IntArrayRef(shape)));
    } else if (!detail::is_real(found->second)) {
      misshapen.add(c10::str("`", name, "`, which holds ", found->second.scalar_type(),
                             " and should hold floating-point numbers"));
    }
  }
  for (const auto& entry : given) {
    if (!wanted.count(entry.name)) unexpected.add("`" + entry.name + "`");
  }
  std::string text;
  for (const auto* complaint : {&missing, &unexpected, &misshapen}) complaint->append_to(text);
  GAMUT_CHECK(text.empty(), what, " does not fit: ", text);
  return tensors;
}

}  // namespace gamut::state
