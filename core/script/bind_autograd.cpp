// gamut.native.autograd: gradients, no_grad, autocast.
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "script/arguments.h"
#include "script/tensor.h"

namespace gamut::script {
namespace {

// Calls the function at `index` with what follows it; its results are all that is left above.
int call_rest(lua_State* L, int index) {
  luaL_checkany(L, index);
  lua_call(L, lua_gettop(L) - index, LUA_MULTRET);
  return lua_gettop(L) - index + 1;
}

// no_grad(fn, ...): results of fn(...), with nothing inside followed by autograd.
int no_grad(lua_State* L) {
  const at::NoGradGuard off;
  return call_rest(L, 1);
}

int enable_grad(lua_State* L) {
  const at::AutoGradMode on(true);
  return call_rest(L, 1);
}

int is_grad_enabled(lua_State* L) {
  lua_pushboolean(L, at::GradMode::is_enabled());
  return 1;
}

// Autocast for one kind of device, put back by the destructor. The cache of cast weights ends with
// the outermost region, as in PyTorch.
class Autocast {
 public:
  Autocast(c10::DeviceType device, c10::ScalarType dtype)
      : device_(device),
        was_enabled_(at::autocast::is_autocast_enabled(device)),
        old_dtype_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device, dtype != c10::kFloat);
    if (dtype != c10::kFloat) at::autocast::set_autocast_dtype(device, dtype);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, old_dtype_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool was_enabled_;
  c10::ScalarType old_dtype_;
};

// autocast(dtype, fn, ...): operators that gain from it compute in `dtype`, on the CPU and on CUDA.
// "float32" switches it off inside.
int autocast(lua_State* L) {
  const auto dtype = check_dtype(L, 1);
  if (dtype != c10::kBFloat16 && dtype != c10::kHalf && dtype != c10::kFloat) {
    return luaL_error(L, "autocast computes in \"bfloat16\" or \"float16\", not in \"%s\"",
                      lua_tostring(L, 1));
  }
  const Autocast cpu(c10::kCPU, dtype);
  const Autocast cuda(c10::kCUDA, dtype);
  return call_rest(L, 2);
}

// is_autocast_enabled() -> boolean; autocast sets both kinds of device alike.
int is_autocast_enabled(lua_State* L) {
  lua_pushboolean(L, at::autocast::is_autocast_enabled(c10::kCPU));
  return 1;
}

std::vector<at::Tensor> tensors_at(lua_State* L, int index, bool may_have_gaps) {
  if (!lua_istable(L, index)) return {check_tensor(L, index)};
  std::vector<at::Tensor> tensors;
  for (lua_Integer i = 1, n = static_cast<lua_Integer>(lua_rawlen(L, index)); i <= n; ++i) {
    lua_rawgeti(L, index, i);
    const bool gap = may_have_gaps && lua_isboolean(L, -1);
    tensors.push_back(gap ? at::Tensor() : check_tensor(L, lua_gettop(L)));
    lua_pop(L, 1);
  }
  return tensors;
}

// grad(outputs, inputs, {grad_outputs =, retain_graph =, create_graph =, allow_unused =}): a list
// of gradients, one an input; false where an unused input was allowed. A single input gives its
// gradient alone.
int grad(lua_State* L) {
  lua_settop(L, 3);
  const auto outputs = tensors_at(L, 1, false);
  const auto inputs = tensors_at(L, 2, false);
  std::vector<at::Tensor> weights;
  std::optional<bool> retain_graph;
  bool create_graph = false, allow_unused = false;
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    if (lua_getfield(L, 3, "grad_outputs") != LUA_TNIL) {
      weights = tensors_at(L, lua_gettop(L), true);
    }
    if (lua_getfield(L, 3, "retain_graph") != LUA_TNIL) retain_graph = lua_toboolean(L, -1);
    if (lua_getfield(L, 3, "create_graph") != LUA_TNIL) create_graph = lua_toboolean(L, -1);
    if (lua_getfield(L, 3, "allow_unused") != LUA_TNIL) allow_unused = lua_toboolean(L, -1);
  }
  auto gradients =
      torch::autograd::grad(outputs, inputs, weights, retain_graph, create_graph, allow_unused);
  if (!lua_istable(L, 2)) return push_tensor(L, std::move(gradients.at(0))), 1;
  lua_createtable(L, static_cast<int>(gradients.size()), 0);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].defined()) {
      push_tensor(L, std::move(gradients[i]));
    } else {
      lua_pushboolean(L, 0);
    }
    lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
  }
  return 1;
}

}  // namespace

int open_autograd(lua_State* L) {
  const luaL_Reg functions[] = {{"no_grad", guard<no_grad>},
                                {"enable_grad", guard<enable_grad>},
                                {"is_grad_enabled", guard<is_grad_enabled>},
                                {"autocast", guard<autocast>},
                                {"is_autocast_enabled", guard<is_autocast_enabled>},
                                {"grad", guard<grad>},
                                {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
