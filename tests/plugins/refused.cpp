// A plugin built for another program: one of its versions is not ours. Opening it aborts, so a test
// that survives shows that the tag was compared before.
#include <gamut/plugin.h>

#include <cstdlib>

#ifdef TEST_SDK_MAJOR
#undef GAMUT_SDK_VERSION_MAJOR
#define GAMUT_SDK_VERSION_MAJOR TEST_SDK_MAJOR
#endif
#ifdef TEST_SDK_MINOR
#undef GAMUT_SDK_VERSION_MINOR
#define GAMUT_SDK_VERSION_MINOR TEST_SDK_MINOR
#endif
#ifdef TEST_LIBTORCH
#undef GAMUT_LIBTORCH_VERSION
#define GAMUT_LIBTORCH_VERSION TEST_LIBTORCH
#endif
#ifdef TEST_ABI
#undef GAMUT_ABI_TAG
#define GAMUT_ABI_TAG TEST_ABI
#endif
#ifndef TEST_KIND
#define TEST_KIND "mixer"
#endif

namespace {

[[maybe_unused]] const bool opened = [] {
  std::abort();
  return true;
}();

class Never final : public gamut::Mixer {
 public:
  static gamut::OptionTable options() { return {}; }
  Never(const gamut::Options&, gamut::Host&) {}
  at::Tensor forward(const at::Tensor& x, gamut::MixerContext&) override { return x; }
  gamut::State new_state(int64_t) const override { return {}; }
};

}  // namespace

GAMUT_DETAIL_PLUGIN(Mixer, Never, TEST_KIND, TEST_NAME, "1.0.0", "Built for another program")
