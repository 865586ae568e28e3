// A mixer written in Lua behind the C++ contract, so that plugins that wrap mixers, and the
// conformance suite, can run it.
#pragma once

#include <gamut/mixer.h>

#include <memory>

#include "script/lua_instance.h"
#include "script/lua_recurrent.h"

namespace gamut::script {

class LuaMixer final : public Mixer {
 public:
  // Constructs an instance of the Lua class that `class_reference` refers to in the registry of the
  // cell's state, from checked options. Throws gamut::Error with the Lua message and its line.
  LuaMixer(std::shared_ptr<StateHandle::Cell> cell, int class_reference, const Options& options);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  State new_state(int64_t batch) const override;
  // "recurrent/1" when the class has the methods of gamut/recurrent.h.
  void* query(std::string_view id) override;

 private:
  LuaInstance instance_;
  LuaRecurrent recurrent_;
};

}  // namespace gamut::script
