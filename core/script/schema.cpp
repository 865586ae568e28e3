#include "script/schema.h"

#include <ATen/core/jit_type.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <unordered_map>

namespace gamut::script {
namespace {

Kind list_kind(const c10::Type& element) {
  switch (element.kind()) {
    case c10::TypeKind::TensorType:
      return Kind::tensor_list;
    case c10::TypeKind::OptionalType:
      return element.castRaw<c10::OptionalType>()->getElementType()->kind() ==
                     c10::TypeKind::TensorType
                 ? Kind::optional_tensor_list
                 : Kind::unsupported;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return Kind::integer_list;
    case c10::TypeKind::FloatType:
      return Kind::number_list;
    case c10::TypeKind::BoolType:
      return Kind::boolean_list;
    case c10::TypeKind::NumberType:
      return Kind::scalar_list;
    default:
      return Kind::unsupported;
  }
}

Kind kind_of(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType:
      return Kind::tensor;
    case c10::TypeKind::ListType:
      return list_kind(*type.castRaw<c10::ListType>()->getElementType());
    case c10::TypeKind::ScalarTypeType:
      return Kind::dtype;
    case c10::TypeKind::LayoutType:
      return Kind::layout;
    case c10::TypeKind::MemoryFormatType:
      return Kind::memory_format;
    case c10::TypeKind::DeviceObjType:
      return Kind::device;
    case c10::TypeKind::StringType:
      return Kind::string;
    case c10::TypeKind::BoolType:
      return Kind::boolean;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return Kind::integer;
    case c10::TypeKind::FloatType:
      return Kind::number;
    case c10::TypeKind::NumberType:
      return Kind::scalar;
    case c10::TypeKind::GeneratorType:
      return Kind::generator;
    default:
      return Kind::unsupported;
  }
}

Parameter make_parameter(const c10::Argument& argument) {
  Parameter p;
  p.name = argument.name();
  p.keyword_only = argument.kwarg_only();
  p.is_out = argument.is_out();
  p.broadcasts = argument.N().has_value();
  const c10::Type* type = argument.real_type().get();
  if (const auto* optional = type->castRaw<c10::OptionalType>()) {
    p.optional = true;
    type = optional->getElementType().get();
  }
  p.kind = kind_of(*type);
  if (argument.default_value()) {
    p.has_default = true;
    p.default_value = *argument.default_value();
  }
  return p;
}

bool writes(const c10::Argument& argument) {
  return argument.alias_info() && argument.alias_info()->isWrite();
}

// Named dimensions are text in a schema but not in Lua; those overloads only get in the way.
bool is_usable(const c10::OperatorName& name) {
  return name.overload_name.find("Dimname") == std::string::npos &&
         name.overload_name.find("names") == std::string::npos;
}

// Arithmetic has overloads for numbers that wrap them in a tensor and start over. Wrapping them
// here saves the second dispatch.
void accept_numbers(Operator& op) {
  static const std::set<std::string> arithmetic = {"add",  "sub",  "mul",  "div",  "floor_divide",
                                                   "add_", "sub_", "mul_", "div_", "floor_divide_"};
  if (op.qualified_name.compare(0, 6, "aten::") != 0 || !arithmetic.count(op.name)) return;
  for (auto& overload : op.overloads) {
    if (overload.parameters.size() > 1 && overload.parameters[1].name == "other") {
      overload.parameters[1].takes_number = overload.parameters[1].kind == Kind::tensor;
    }
  }
}

// Overloads are tried in this order, so that what a tensor can fit comes before what a number can,
// and an integer before any number.
bool more_specific(const Overload& a, const Overload& b) {
  const auto& name_a = a.op.operator_name().overload_name;
  const auto& name_b = b.op.operator_name().overload_name;
  if (name_a.empty() != name_b.empty()) return name_a.empty();
  const auto by_kind = [](const Parameter& p, const Parameter& q) { return p.kind < q.kind; };
  if (std::lexicographical_compare(a.parameters.begin(), a.parameters.end(), b.parameters.begin(),
                                   b.parameters.end(), by_kind)) {
    return true;
  }
  if (std::lexicographical_compare(b.parameters.begin(), b.parameters.end(), a.parameters.begin(),
                                   a.parameters.end(), by_kind)) {
    return false;
  }
  return name_a < name_b;
}

using Index = std::unordered_map<std::string, std::vector<c10::OperatorName>>;

// Names of the overloads by operator. The dispatcher can only be asked for exact overloads, or for
// everything; everything is two milliseconds, once, and again when plugins have added operators.
const Index& index_of_names(bool refresh) {
  static Index index;
  if (index.empty() || refresh) {
    index.clear();
    for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
      index[name.name].push_back(name);
    }
  }
  return index;
}

std::unique_ptr<Operator> load_operator(const std::string& qualified_name, const std::string& name,
                                        const std::vector<c10::OperatorName>& overload_names) {
  auto op = std::make_unique<Operator>();
  op->qualified_name = qualified_name;
  op->name = name;
  for (const auto& overload_name : overload_names) {
    auto handle = c10::Dispatcher::singleton().findSchema(overload_name);
    if (!handle || !is_usable(overload_name)) continue;
    Overload overload(*handle);
    auto& list = overload.outputs ? op->out_overloads : op->overloads;
    list.push_back(std::move(overload));
  }
  if (op->overloads.empty() && op->out_overloads.empty()) return nullptr;
  std::sort(op->overloads.begin(), op->overloads.end(), more_specific);
  std::sort(op->out_overloads.begin(), op->out_overloads.end(), more_specific);
  accept_numbers(*op);
  return op;
}

// Insertions, deletions, changes and swaps of neighbours that lead from one word to the other.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      cost[i][j] = std::min(
          {cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

Overload::Overload(c10::OperatorHandle handle) : op(std::move(handle)) {
  const auto& schema = op.schema();
  for (const auto& argument : schema.arguments()) {
    parameters.push_back(make_parameter(argument));
    const auto& p = parameters.back();
    positional += !p.keyword_only;
    makes_tensors = makes_tensors || p.name == "pin_memory";
    outputs += p.is_out;
  }
  const bool method = !parameters.empty() && parameters[0].kind == Kind::tensor;
  const size_t first = method ? 1 : 0;
  collects_ints = positional == first + 1 && parameters[first].kind == Kind::integer_list;
  for (const auto& value : schema.returns()) {
    Result result;
    result.kind = kind_of(*value.real_type());
    result.is_dtype = value.real_type()->kind() == c10::TypeKind::ScalarTypeType;
    result.aliases_argument = writes(value);
    results.push_back(result);
  }
}

const Operator* find_operator(const std::string& space, const std::string& name) {
  static std::unordered_map<std::string, std::unique_ptr<Operator>> loaded;
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string qualified = space + "::" + name;
  if (auto found = loaded.find(qualified); found != loaded.end()) return found->second.get();
  const Index* index = &index_of_names(false);
  auto names = index->find(qualified);
  if (names == index->end()) {
    index = &index_of_names(true);
    names = index->find(qualified);
  }
  if (names == index->end()) return nullptr;
  auto op = load_operator(qualified, name, names->second);
  return op ? (loaded[qualified] = std::move(op)).get() : nullptr;
}

std::vector<std::string> operator_names(const std::string& space) {
  const std::string prefix = space + "::";
  std::vector<std::string> names;
  for (const auto& [name, overloads] : index_of_names(true)) {
    if (name.compare(0, prefix.size(), prefix) == 0) names.push_back(name.substr(prefix.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> nearest_names(const std::vector<std::string>& names,
                                       const std::string& wanted) {
  const size_t limit = std::max<size_t>(1, wanted.size() / 3);
  std::vector<std::pair<size_t, std::string>> near;
  for (const auto& name : names) {
    const size_t gap =
        name.size() > wanted.size() ? name.size() - wanted.size() : wanted.size() - name.size();
    if (gap > limit) continue;
    const size_t distance = edit_distance(name, wanted);
    if (distance <= limit) near.emplace_back(distance, name);
  }
  std::sort(near.begin(), near.end());
  std::vector<std::string> nearest;
  for (size_t i = 0; i < near.size() && i < 3; ++i) nearest.push_back(near[i].second);
  return nearest;
}

}  // namespace gamut::script
