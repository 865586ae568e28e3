// Calls from C++ into a mixer that a script wrote.
#include "script/lua_mixer.h"

#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {

LuaMixer::LuaMixer(std::shared_ptr<StateHandle::Cell> cell, int class_reference,
                   const Options& options)
    : instance_(std::move(cell), class_reference, options),
      recurrent_(instance_),
      d_memory_(options.has("d_memory") ? options.integer("d_memory") : 0) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  for (const char* method : {"named_parameters", "named_buffers"}) {
    instance_.push_method(method);
    call(L, 1, 1);
    for (auto& entry : to_named_tensors(L, -1, method)) {
      const bool trained = entry.tensor.requires_grad();
      trained ? register_parameter(entry.name, entry.tensor)
              : register_buffer(entry.name, entry.tensor);
    }
  }
}

at::Tensor LuaMixer::forward(const at::Tensor& x, const EncoderMemory* memory,
                             MixerContext& context) {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  const LentContext lent(L, context);
  instance_.push_method("forward");
  push_tensor(L, x);
  lent.push(memory);
  call(L, 3, 1);
  return returned_tensor(L, "forward");
}

State LuaMixer::new_state(int64_t batch) const {
  lua_State* L = instance_.state();
  const StackGuard guard(L);
  instance_.push_method("new_state");
  lua_pushinteger(L, batch);
  call(L, 2, 1);
  auto* object = test_object<StateObject>(L, -1);
  GAMUT_CHECK(object, "its new_state returned ", describe_value(L, -1),
              " instead of a state made by nn.state{...}");
  return object->get();
}

void* LuaMixer::query(std::string_view id) {
  if (id == MemoryReader::kId && d_memory_ > 0) return static_cast<MemoryReader*>(this);
  if (id != kRecurrent || !instance_.has_method("scan")) return nullptr;
  return static_cast<Recurrent*>(&recurrent_);
}

}  // namespace gamut::script
