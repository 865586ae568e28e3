// The recurrence of a mixer written in Lua: gamut/recurrent.h by methods of the same names.
#pragma once

#include <gamut/recurrent.h>

#include "script/lua_instance.h"

namespace gamut::script {

// In Lua, features are a table of tensors by name, and so is a memory, by memory_names. A class may
// leave out `normalize` and `reads_linearly`.
class LuaRecurrent final : public Recurrent {
 public:
  // `instance` outlives this object.
  explicit LuaRecurrent(const LuaInstance& instance) : instance_(instance) {}

  std::vector<std::string> memory_names() const override;
  NamedTensors project(const at::Tensor& x, MixerContext& context) override;
  Scan scan(const NamedTensors& features, const Memory& memory,
            const at::Tensor& cu_seqlens) override;
  at::Tensor read(const NamedTensors& features, const Memory& memories) override;
  bool reads_linearly() const override;
  at::Tensor normalize(const at::Tensor& read) override;
  at::Tensor queries(const NamedTensors& features) override;
  at::Tensor keys(const NamedTensors& features) override;
  at::Tensor finish(const at::Tensor& read, const NamedTensors& features,
                    MixerContext& context) override;

 private:
  at::Tensor of_features(const char* method, const NamedTensors& features);
  void push_memory(lua_State* L, const Memory& memory) const;

  const LuaInstance& instance_;
};

}  // namespace gamut::script
