// What a plugin exports: one C record, and behind it a typed factory.
//
// A plugin is one shared library. A source file ends with one of
//
//     GAMUT_MIXER(Class, "name", "1.0.0", "One line about it")
//     GAMUT_TOKENIZER(...)     GAMUT_OPTIMIZER(...)
//
// where Class has `static gamut::OptionTable options()` and a constructor
// `Class(const gamut::Options&, gamut::Host&)`. What a plugin can do without an object of Class,
// such as training a tokenizer, it offers by `static void* plugin_query(std::string_view id)`.
#pragma once

#include <gamut/mixer.h>
#include <gamut/optimizer.h>
#include <gamut/options.h>
#include <gamut/tokenizer.h>
#include <gamut/version.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace gamut {

// What a plugin may ask of the program that loaded it. Lives as long as the process.
class __attribute__((visibility("default"))) Host {
 public:
  virtual ~Host() = default;
  // Any mixer that the host knows, C++ or Lua, by name; options are checked by its own table.
  virtual std::unique_ptr<Mixer> create_mixer(const std::string& name,
                                              const OptionMap& options) = 0;
  // A sentence for the user that does not stop the work.
  virtual void warn(const std::string& message) = 0;
};

// Behind the C record: options and construction. One static object a plugin, never destroyed.
class __attribute__((visibility("default"))) Factory {
 public:
  virtual ~Factory() = default;
  virtual OptionTable options() const = 0;
};

template <class Kind>
class __attribute__((visibility("default"))) FactoryOf : public Factory {
 public:
  virtual std::unique_ptr<Kind> create(const Options& options, Host& host) const = 0;
};

using MixerFactory = FactoryOf<Mixer>;
using TokenizerFactory = FactoryOf<Tokenizer>;
using OptimizerFactory = FactoryOf<Optimizer>;

namespace detail {
template <class Class, class = void>
struct PluginQuery {
  static void* find(std::string_view /*id*/) { return nullptr; }
};
template <class Class>
struct PluginQuery<Class, std::void_t<decltype(Class::plugin_query(std::string_view()))>> {
  static void* find(std::string_view id) { return Class::plugin_query(id); }
};
}  // namespace detail

}  // namespace gamut

extern "C" {
// Read before any C++ of the plugin runs. Fields are only ever added at the end; `struct_size`
// tells how many a plugin has.
struct GamutPluginRecord {
  uint64_t magic;                // GAMUT_PLUGIN_MAGIC
  uint32_t struct_size;          // sizeof(GamutPluginRecord) when it was built
  uint32_t sdk_major;            // must equal the host's
  uint32_t sdk_minor;            // must not exceed the host's
  const char* libtorch_version;  // must equal the host's
  const char* abi_tag;           // must equal the host's
  const char* kind;              // "mixer", "tokenizer" or "optimizer"
  const char* name;              // what scripts call it
  const char* version;
  const char* description;  // one line
  // The first C++ that runs: a static FactoryOf<kind>, as its Factory base; never null, may throw.
  const gamut::Factory* (*factory)();
  // Since 1.2: a capability of the plugin as a whole by its id, or null. Lives as long as the
  // process.
  void* (*query)(const char* id);
};
}

#define GAMUT_PLUGIN_MAGIC 0x31475054554d4147ull /* "GAMUTPG1" */
#define GAMUT_PLUGIN_SYMBOL "gamut_plugin"
// The ELF section that repeats the tag, read from the file before the library is opened:
// `key=value` lines after a first line "gamut-plugin", NUL-terminated, see GAMUT_DETAIL_TAG.
#define GAMUT_PLUGIN_SECTION "gamut_tag"

#define GAMUT_DETAIL_TAG(kind, name, version, description)                                 \
  "gamut-plugin\nsdk=" GAMUT_STRINGIFY(GAMUT_SDK_VERSION_MAJOR) "." GAMUT_STRINGIFY(       \
      GAMUT_SDK_VERSION_MINOR) "\nlibtorch=" GAMUT_LIBTORCH_VERSION "\nabi=" GAMUT_ABI_TAG \
                               "\nkind=" kind "\nname=" name "\nversion=" version          \
                               "\ndescription=" description "\n"

#define GAMUT_DETAIL_PLUGIN(Kind, Class, kind, name, version, description)                \
  namespace {                                                                             \
  class GamutFactory final : public ::gamut::FactoryOf<::gamut::Kind> {                   \
   public:                                                                                \
    ::gamut::OptionTable options() const override { return Class::options(); }            \
    std::unique_ptr<::gamut::Kind> create(const ::gamut::Options& options,                \
                                          ::gamut::Host& host) const override {           \
      return std::make_unique<Class>(options, host);                                      \
    }                                                                                     \
  };                                                                                      \
  const ::gamut::Factory* gamut_factory() {                                               \
    static const auto* factory = new GamutFactory; /* never destroyed: see Factory */     \
    return factory;                                                                       \
  }                                                                                       \
  void* gamut_plugin_query(const char* id) {                                              \
    return ::gamut::detail::PluginQuery<Class>::find(id);                                 \
  }                                                                                       \
  __attribute__((used, section(GAMUT_PLUGIN_SECTION))) const char gamut_tag[] =           \
      GAMUT_DETAIL_TAG(kind, name, version, description);                                 \
  }                                                                                       \
  extern "C" __attribute__((visibility("default"))) const GamutPluginRecord gamut_plugin; \
  const GamutPluginRecord gamut_plugin = {GAMUT_PLUGIN_MAGIC,                             \
                                          sizeof(GamutPluginRecord),                      \
                                          GAMUT_SDK_VERSION_MAJOR,                        \
                                          GAMUT_SDK_VERSION_MINOR,                        \
                                          GAMUT_LIBTORCH_VERSION,                         \
                                          GAMUT_ABI_TAG,                                  \
                                          kind,                                           \
                                          name,                                           \
                                          version,                                        \
                                          description,                                    \
                                          &gamut_factory,                                 \
                                          &gamut_plugin_query};

#define GAMUT_MIXER(Class, name, version, description) \
  GAMUT_DETAIL_PLUGIN(Mixer, Class, "mixer", name, version, description)
#define GAMUT_TOKENIZER(Class, name, version, description) \
  GAMUT_DETAIL_PLUGIN(Tokenizer, Class, "tokenizer", name, version, description)
#define GAMUT_OPTIMIZER(Class, name, version, description) \
  GAMUT_DETAIL_PLUGIN(Optimizer, Class, "optimizer", name, version, description)
