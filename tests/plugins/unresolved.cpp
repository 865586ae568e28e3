// A plugin that was linked without the check for missing symbols, and misses one.
#include <gamut/plugin.h>

extern "C" int a_function_that_nobody_defines();

namespace {

class Unresolved final : public gamut::Mixer {
 public:
  static gamut::OptionTable options() { return {}; }
  Unresolved(const gamut::Options&, gamut::Host&) { a_function_that_nobody_defines(); }
  at::Tensor forward(const at::Tensor& x, gamut::MixerContext&) override { return x; }
  gamut::State new_state(int64_t) const override { return {}; }
};

}  // namespace

GAMUT_MIXER(Unresolved, "unresolved", "1.0.0", "Misses a symbol")
