// A plugin with a sound tag that fails in one way when it is opened or used; in none of them it is
// a mixer that gives back its input.
#include <gamut/plugin.h>

#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace {

#ifdef TEST_CRASH_ON_LOAD
[[maybe_unused]] const int opened = std::raise(SIGSEGV);
#endif
#ifdef TEST_EXIT_ON_LOAD
[[maybe_unused]] const int opened = (std::exit(0), 0);
#endif

class Broken final : public gamut::Mixer {
 public:
  static gamut::OptionTable options() {
#ifdef TEST_OPTIONS_THROW
    throw gamut::Error("the options are not to be had");
#endif
    return {gamut::option::integer("d_model", "width of the model").value(8).at_least(1)};
  }
  Broken(const gamut::Options&, gamut::Host&) {
#ifdef TEST_CRASH_IN_CONSTRUCTOR
    std::raise(SIGSEGV);
#endif
#ifdef TEST_HANG
    for (;;) ::sleep(1);
#endif
#ifdef TEST_THROW
    throw gamut::Error("the weights are on holiday");
#endif
#ifdef TEST_FOREIGN_THROW
    throw std::out_of_range("map::at");
#endif
  }
  at::Tensor forward(const at::Tensor& x, gamut::MixerContext&) override { return x; }
  gamut::State new_state(int64_t) const override { return {}; }
};

}  // namespace

#if defined(TEST_RECORD)
// The tag that is read from the file is fine; the record behind it is another program's.
__attribute__((used, section(GAMUT_PLUGIN_SECTION))) static const char tag[] =
    GAMUT_DETAIL_TAG("mixer", TEST_NAME, "1.0.0", "A record that contradicts its tag");
extern "C" __attribute__((visibility("default"))) const GamutPluginRecord gamut_plugin;
const GamutPluginRecord gamut_plugin = {GAMUT_PLUGIN_MAGIC,
                                        sizeof(GamutPluginRecord),
                                        GAMUT_SDK_VERSION_MAJOR,
                                        GAMUT_SDK_VERSION_MINOR,
                                        "1.13.1",
                                        GAMUT_ABI_TAG,
                                        "mixer",
                                        TEST_NAME,
                                        "1.0.0",
                                        "",
                                        nullptr,
                                        nullptr};
#elif defined(TEST_NOTHING)
__attribute__((used, section(GAMUT_PLUGIN_SECTION))) static const char tag[] =
    GAMUT_DETAIL_TAG("mixer", TEST_NAME, "1.0.0", "A factory that returns nothing");
extern "C" __attribute__((visibility("default"))) const GamutPluginRecord gamut_plugin;
const GamutPluginRecord gamut_plugin = {GAMUT_PLUGIN_MAGIC,
                                        sizeof(GamutPluginRecord),
                                        GAMUT_SDK_VERSION_MAJOR,
                                        GAMUT_SDK_VERSION_MINOR,
                                        GAMUT_LIBTORCH_VERSION,
                                        GAMUT_ABI_TAG,
                                        "mixer",
                                        TEST_NAME,
                                        "1.0.0",
                                        "",
                                        [] { return static_cast<const gamut::Factory*>(nullptr); },
                                        nullptr};
#elif defined(TEST_OLD_RECORD)
// As SDK 1.1 made them: the record ends before `query`, and what lies there is no function.
namespace {
class OldFactory final : public gamut::FactoryOf<gamut::Mixer> {
 public:
  gamut::OptionTable options() const override { return Broken::options(); }
  std::unique_ptr<gamut::Mixer> create(const gamut::Options& options,
                                       gamut::Host& host) const override {
    return std::make_unique<Broken>(options, host);
  }
};
}  // namespace
__attribute__((used, section(GAMUT_PLUGIN_SECTION))) static const char tag[] =
    GAMUT_DETAIL_TAG("mixer", TEST_NAME, "1.0.0", "A record without a query");
extern "C" __attribute__((visibility("default"))) const GamutPluginRecord gamut_plugin;
const GamutPluginRecord gamut_plugin = {GAMUT_PLUGIN_MAGIC,
                                        offsetof(GamutPluginRecord, query),
                                        GAMUT_SDK_VERSION_MAJOR,
                                        GAMUT_SDK_VERSION_MINOR,
                                        GAMUT_LIBTORCH_VERSION,
                                        GAMUT_ABI_TAG,
                                        "mixer",
                                        TEST_NAME,
                                        "1.0.0",
                                        "",
                                        []() -> const gamut::Factory* {
                                          static const auto* factory = new OldFactory;
                                          return factory;
                                        },
                                        [](const char*) -> void* { std::abort(); }};
#else
GAMUT_MIXER(Broken, TEST_NAME, "1.0.0", "Fails in one way")
#endif
