// Boost.DLL's part of the host: from a checked file to a plugin's factory.
#define BOOST_DLL_USE_STD_FS
#include "plugin_host/library.h"

#include <boost/dll/shared_library.hpp>
#include <vector>

#include "plugin_host/guard.h"

namespace gamut::host {
namespace {

namespace dll = boost::dll;

// The dynamic linker's own sentence, out of what Boost.DLL wraps around it.
std::string linker_message(const std::string& what) {
  const std::string mark = "dlerror system message: ";
  const size_t start = what.find(mark);
  if (start == std::string::npos) return what;
  const size_t end = what.rfind("): ");
  const size_t from = start + mark.size();
  return what.substr(from, end == std::string::npos || end < from ? end : end - from);
}

// Never destroyed, so that no library is closed at exit either.
dll::shared_library& keep(dll::shared_library library) {
  static auto& libraries = *new std::vector<std::unique_ptr<dll::shared_library>>;
  libraries.push_back(std::make_unique<dll::shared_library>(std::move(library)));
  return *libraries.back();
}

dll::shared_library& open(const std::filesystem::path& path) {
  try {
    return keep(dll::shared_library(path, dll::load_mode::rtld_now | dll::load_mode::rtld_local));
  } catch (const std::exception& error) {
    throw Error("cannot open `" + path.string() + "`: " + linker_message(error.what()));
  }
}

// A record may be older than ours (shorter), never newer.
void check_record(const GamutPluginRecord& record, const PluginTag& tag,
                  const std::filesystem::path& path) {
  const std::string file = "`" + path.string() + "`";
  GAMUT_CHECK(record.magic == GAMUT_PLUGIN_MAGIC &&
                  record.struct_size >= offsetof(GamutPluginRecord, query),  // what 1.0 had
              file, " has a damaged plugin record; build it again");
  for (const char* field : {record.libtorch_version, record.abi_tag, record.kind, record.name,
                            record.version, record.description}) {
    GAMUT_CHECK(field, file, " has a plugin record with an empty field; build it again");
  }
  const PluginTag said{record.sdk_major, record.sdk_minor,  record.libtorch_version,
                       record.abi_tag,   record.kind,       record.name,
                       record.version,   record.description};
  const std::string refusal = why_refused(said, path);
  GAMUT_CHECK(refusal.empty(), refusal);
  GAMUT_CHECK(said.kind == tag.kind && said.name == tag.name && record.factory, file,
              " contradicts its own tag (", tag.kind, " `", tag.name, "`, but its record says ",
              said.kind, " `", said.name, "`); build it again");
}

// Null where the record is too short to have the field: what lies there is not the plugin's word.
void* (*query_of(const GamutPluginRecord& record))(const char*) {
  constexpr size_t kEnd = offsetof(GamutPluginRecord, query) + sizeof record.query;
  return record.struct_size >= kEnd ? record.query : nullptr;
}

}  // namespace

OpenPlugin open_plugin(const std::filesystem::path& path, const PluginTag& tag) {
  auto& library = open(path);
  GAMUT_CHECK(library.has(GAMUT_PLUGIN_SYMBOL), "`", path.string(),
              "` does not export `" GAMUT_PLUGIN_SYMBOL
              "`; end its source with GAMUT_MIXER, GAMUT_TOKENIZER or GAMUT_OPTIMIZER");
  const auto& record = library.get<const GamutPluginRecord>(GAMUT_PLUGIN_SYMBOL);
  check_record(record, tag, path);
  const Label label{tag.kind, tag.name, tag.version, path.string()};
  const Factory* factory = guarded(label, "its factory", [&] { return record.factory(); });
  GAMUT_CHECK(factory, label.text(), " failed in its factory: it returned nothing");
  return {factory, query_of(record)};
}

}  // namespace gamut::host
