// A mixer written in Lua behind the C++ contract, so that plugins that wrap mixers, and the
// conformance suite, can run it.
#pragma once

#include <gamut/encoder_memory.h>
#include <gamut/mixer.h>

#include <memory>

#include "script/lua_instance.h"
#include "script/lua_recurrent.h"

namespace gamut::script {

class LuaMixer final : public Mixer, public MemoryReader {
 public:
  // Constructs an instance of the Lua class that `class_reference` refers to in the registry of the
  // cell's state, from checked options. Throws gamut::Error with the Lua message and its line.
  LuaMixer(std::shared_ptr<StateHandle::Cell> cell, int class_reference, const Options& options);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override {
    return forward(x, nullptr, context);
  }
  State new_state(int64_t batch) const override;
  // "recurrent/1" when the class has the methods of gamut/recurrent.h, "encoder_memory/1" when its
  // options have an integer d_memory.
  void* query(std::string_view id) override;

  int64_t d_memory() const override { return d_memory_; }
  at::Tensor forward_with_memory(const at::Tensor& x, const EncoderMemory& memory,
                                 MixerContext& context) override {
    return forward(x, &memory, context);
  }

 private:
  at::Tensor forward(const at::Tensor& x, const EncoderMemory* memory, MixerContext& context);

  LuaInstance instance_;
  LuaRecurrent recurrent_;
  int64_t d_memory_;  // 0: reads none
};

}  // namespace gamut::script
