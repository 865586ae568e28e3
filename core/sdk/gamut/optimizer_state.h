// What every optimizer plugin does alike: refusing doubtful parameters, and restoring its state
// entry by entry with every disagreement named.
#pragma once

#include <gamut/optimizer.h>

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace gamut {

// Refuses what no optimizer here can update: undefined, non-leaf, integer or sparse tensors, and a
// name or a tensor that an earlier group already has.
inline void check_new_group(const std::vector<ParameterGroup>& groups,
                            const ParameterGroup& group) {
  std::unordered_set<std::string> names;
  std::unordered_map<const c10::TensorImpl*, std::string> tensors;
  for (const auto& earlier : groups) {
    for (const auto& p : earlier.parameters) {
      names.insert(p.name);
      tensors.emplace(p.tensor.unsafeGetTensorImpl(), p.name);
    }
  }
  for (const auto& p : group.parameters) {
    GAMUT_CHECK(p.tensor.defined(), "parameter `", p.name, "` has no tensor");
    GAMUT_CHECK(p.tensor.layout() == at::kStrided && p.tensor.is_floating_point(), "parameter `",
                p.name, "` is ", p.tensor.dtype(), " ", p.tensor.layout(),
                "; an optimizer updates dense real tensors");
    GAMUT_CHECK(p.tensor.is_leaf(), "parameter `", p.name,
                "` is the result of an operator; give the optimizer the tensor it was made from");
    GAMUT_CHECK(names.insert(p.name).second, "parameter `", p.name,
                "` was given to this optimizer twice");
    auto added = tensors.emplace(p.tensor.unsafeGetTensorImpl(), p.name);
    GAMUT_CHECK(added.second, "parameters `", added.first->second, "` and `", p.name,
                "` are one tensor; give it to the optimizer once");
  }
}

// Copies `given` into the tensors of `own`, matched by name. Nothing is changed unless all fit.
inline void restore_state(const NamedTensors& own, const NamedTensors& given) {
  std::unordered_map<std::string, at::Tensor> found;
  for (const auto& entry : given) found[entry.name] = entry.tensor;
  std::string missing, misshapen, unexpected;
  auto append = [](std::string& list, const std::string& text) {
    list += (list.empty() ? "" : ", ") + text;
  };
  for (const auto& entry : own) {
    auto match = found.find(entry.name);
    if (match == found.end()) {
      append(missing, "`" + entry.name + "`");
      continue;
    }
    const at::Tensor& saved = match->second;
    if (saved.sizes() != entry.tensor.sizes() || saved.dtype() != entry.tensor.dtype()) {
      append(misshapen, c10::str("`", entry.name, "` (saved ", saved.dtype(), " ", saved.sizes(),
                                 ", here ", entry.tensor.dtype(), " ", entry.tensor.sizes(), ")"));
    }
  }
  for (const auto& entry : own) found.erase(entry.name);
  for (const auto& entry : given) {
    if (found.count(entry.name)) append(unexpected, "`" + entry.name + "`");
  }
  std::string complaint;
  if (!missing.empty()) complaint += "; missing: " + missing;
  if (!misshapen.empty()) complaint += "; of another shape or type: " + misshapen;
  if (!unexpected.empty()) complaint += "; unexpected: " + unexpected;
  GAMUT_CHECK(complaint.empty(), "the saved optimizer state does not fit these parameters",
              complaint);

  std::unordered_map<std::string, at::Tensor> by_name;
  for (const auto& entry : given) by_name[entry.name] = entry.tensor;
  for (const auto& entry : own) at::Tensor(entry.tensor).copy_(by_name[entry.name]);
}

}  // namespace gamut
