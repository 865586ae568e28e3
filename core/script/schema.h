// LibTorch's operator registry, prepared for calls from Lua.
//
// An operator is looked up by name once. What its overloads want is worked out then, so that a call
// only compares Lua types with a plan.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>
#include <vector>

namespace gamut::script {

enum class Kind : uint8_t {
  tensor,
  tensor_list,
  optional_tensor_list,
  dtype,
  layout,
  device,
  memory_format,
  string,
  boolean,
  boolean_list,
  integer,
  integer_list,
  number,
  number_list,
  scalar,
  scalar_list,
  generator,
  unsupported,  // only nil or the default can be passed
};

struct Parameter {
  std::string name;
  Kind kind = Kind::unsupported;
  bool optional = false;
  bool keyword_only = false;
  bool is_out = false;
  bool broadcasts = false;    // int[2] and the like: one integer stands for all
  bool takes_number = false;  // a tensor for which PyTorch accepts a number: x + 2
  bool has_default = false;
  c10::IValue default_value;
};

struct Result {
  Kind kind = Kind::unsupported;
  bool is_dtype = false;
  bool aliases_argument = false;  // written to and returned, as by in-place operators
};

struct Overload {
  explicit Overload(c10::OperatorHandle op);

  c10::OperatorHandle op;
  std::vector<Parameter> parameters;
  std::vector<Result> results;
  size_t positional = 0;       // parameters that may be passed by position
  size_t outputs = 0;          // `out=` parameters
  bool collects_ints = false;  // x:view(2, 3) for x:view({2, 3})
  bool makes_tensors = false;  // randn and the like: `requires_grad = true` may be passed by name

  // add(Tensor self, Tensor other, {Scalar alpha = 1}) -> Tensor
  std::string signature() const;
};

struct Operator {
  std::string qualified_name;       // "aten::add"
  std::string name;                 // "add"
  std::vector<Overload> overloads;  // most specific first
  std::vector<Overload> out_overloads;
};

// The operator of that name, or null when there is none. The pointer lives as long as the process.
const Operator* find_operator(const std::string& space, const std::string& name);

// A kind as Lua programmers write it: "Tensor", "integer[]".
const char* kind_name(Kind kind);

// The default of a parameter as Lua writes it.
std::string default_text(const Parameter& parameter);

// Names of all operators of a namespace, sorted.
std::vector<std::string> operator_names(const std::string& space);

// The known names nearest to a misspelt one, at most three.
std::vector<std::string> nearest_names(const std::vector<std::string>& names,
                                       const std::string& wanted);

}  // namespace gamut::script
