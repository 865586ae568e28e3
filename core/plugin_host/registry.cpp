// Looks plugins up by name, opens them on demand and constructs what they make.
#include "plugin_host/registry.h"

#include <cstdio>

#include "plugin_host/options_check.h"
#include "text/nearest.h"

namespace gamut::host {
namespace fs = std::filesystem;
namespace {

std::string who(const std::string& kind, const std::string& name) {
  return kind + " `" + name + "`";
}

bool is_path(const std::string& name) {
  return name.find('/') != std::string::npos;
}

}  // namespace

Registry::Registry(SearchPath path) : path_(std::move(path)) {}

void Registry::scan() {
  if (scanned_) return;
  scanned_ = true;
  for (const auto& file : find_libraries(path_)) {
    auto entry = std::make_unique<Entry>();
    entry->info.path = file;
    try {
      const auto tag = read_tag(file);
      if (!tag) continue;  // a plugin's helper library, such as its CUDA kernels
      entry->tag = *tag;
      entry->info.kind = tag->kind;
      entry->info.name = tag->name;
      entry->info.version = tag->version;
      entry->info.description = tag->description;
      entry->info.problem = why_refused(*tag, file);
    } catch (const Error& error) {
      entry->info.problem = error.what();
    }
    entries_.push_back(std::move(entry));
  }
}

std::vector<PluginInfo> Registry::list() {
  scan();
  std::vector<PluginInfo> all;
  for (const auto& entry : entries_) all.push_back(entry->info);
  for (const auto& [name, mixer] : script_mixers_) {
    PluginInfo info;
    info.kind = "mixer";
    info.name = name;
    info.description = "registered by the script";
    info.is_open = true;
    all.push_back(std::move(info));
  }
  return all;
}

// Files that are named by path need not lie on the search path.
Registry::Entry& Registry::entry_at(const std::string& kind, const fs::path& path) {
  std::error_code error;
  const fs::path file = fs::canonical(path, error);
  GAMUT_CHECK(!error, "there is no plugin at `", path.string(), "`: ", error.message());
  for (auto& entry : entries_) {
    if (entry->info.path == file && entry->info.kind == kind) return *entry;
  }
  const auto tag = read_tag(file);
  GAMUT_CHECK(tag, "`", file.string(), "` is a shared library but not a Gamut plugin: it has no `",
              GAMUT_PLUGIN_SECTION, "` section");
  GAMUT_CHECK(tag->kind == kind, "`", file.string(), "` is the ", who(tag->kind, tag->name),
              ", not a ", kind);
  auto entry = std::make_unique<Entry>();
  entry->tag = *tag;
  entry->on_path = false;
  entry->info = {kind, tag->name, tag->version, tag->description, file, why_refused(*tag, file)};
  entries_.push_back(std::move(entry));
  return *entries_.back();
}

Registry::Entry& Registry::entry(const std::string& kind, const std::string& name) {
  scan();
  if (is_path(name)) return entry_at(kind, name);
  std::vector<Entry*> usable;
  for (auto& entry : entries_) {
    const auto& info = entry->info;
    const bool matches = info.kind == kind && info.name == name && info.problem.empty();
    if (matches && entry->on_path) usable.push_back(entry.get());
  }
  if (usable.empty()) refuse_unknown(kind, name);
  GAMUT_CHECK(usable.size() == 1, "there are two plugins for ", who(kind, name), ": `",
              usable.front()->info.path.string(), "` and `", usable.back()->info.path.string(),
              "`; remove one, or name the one you mean by its path");
  return *usable.front();
}

void Registry::refuse_unknown(const std::string& kind, const std::string& name) {
  std::vector<std::string> known;
  std::string others;
  for (const auto& entry : entries_) {
    const auto& info = entry->info;
    const bool meant =
        (info.kind == kind && info.name == name) || (info.kind.empty() && info.path.stem() == name);
    if (meant && !info.problem.empty()) throw Error(info.problem);
    if (info.kind == kind && info.problem.empty()) known.push_back(info.name);
    if (info.name == name) others = "; there is a " + info.kind + " of that name";
  }
  if (kind == "mixer") {
    for (const auto& [script_name, mixer] : script_mixers_) known.push_back(script_name);
  }
  throw Error("unknown " + who(kind, name) +
              (others.empty() ? text::did_you_mean(name, known) : others) +
              (known.empty() ? "; no " + kind + " was found, see `gamut plugins`" : "") +
              (others.empty() && text::nearest(name, known).empty()
                   ? "; GAMUT_PLUGIN_PATH and --plugin-path name folders to look in"
                   : ""));
}

const OpenPlugin& Registry::open(Entry& entry) {
  GAMUT_CHECK(entry.info.problem.empty(), entry.info.problem);
  if (!entry.open.factory) {
    entry.open = open_plugin(entry.info.path, entry.tag);
    entry.info.is_open = true;
  }
  return entry.open;
}

PluginInfo Registry::find(const std::string& kind, const std::string& name) {
  return entry(kind, name).info;
}

OptionTable Registry::options(const std::string& kind, const std::string& name) {
  const auto script = script_mixers_.find(name);
  if (kind == "mixer" && script != script_mixers_.end()) return script->second.table;
  Entry& found = entry(kind, name);
  const Label label{kind, found.info.name, found.info.version, found.info.path.string()};
  return guarded(label, "options", [&] { return open(found).factory->options(); });
}

void* Registry::query(const std::string& kind, const std::string& name, const char* id) {
  if (kind == "mixer" && script_mixers_.count(name)) return nullptr;
  Entry& found = entry(kind, name);
  const auto& info = found.info;
  const auto query = open(found).query;
  if (!query) return nullptr;
  return guarded({info.kind, info.name, info.version, info.path.string()}, "query",
                 [&] { return query(id); });
}

template <class Kind>
std::unique_ptr<Kind> Registry::create(Entry& entry, const Options& options) {
  const auto& info = entry.info;
  const Label label{info.kind, info.name, info.version, info.path.string()};
  const auto* maker = dynamic_cast<const FactoryOf<Kind>*>(open(entry).factory);
  GAMUT_CHECK(maker, label.text(), " has a factory of another kind; build it again");
  auto made = guarded(label, "construction", [&] { return maker->create(options, *this); });
  GAMUT_CHECK(made, label.text(), " failed in construction: it returned nothing");
  return guard(std::move(made), {info.kind, info.name, info.version, ""});
}

std::unique_ptr<Mixer> Registry::create_mixer(const std::string& name, const OptionMap& options) {
  const auto script = script_mixers_.find(name);
  if (script != script_mixers_.end()) {
    const Label label{"mixer", name, "", ""};
    const Options checked = check_options(script->second.table, options, who("mixer", name));
    auto made = guarded(label, "construction", [&] { return script->second.create(checked); });
    return guard(std::move(made), label);
  }
  Entry& found = entry("mixer", name);
  const auto table = this->options("mixer", name);
  return create<Mixer>(found, check_options(table, options, who("mixer", found.info.name)));
}

std::unique_ptr<Tokenizer> Registry::create_tokenizer(const std::string& name,
                                                      const OptionMap& options) {
  Entry& found = entry("tokenizer", name);
  const auto table = this->options("tokenizer", name);
  return create<Tokenizer>(found, check_options(table, options, who("tokenizer", found.info.name)));
}

std::unique_ptr<Optimizer> Registry::create_optimizer(const std::string& name,
                                                      const std::vector<GroupRequest>& groups,
                                                      const OptionMap& defaults) {
  Entry& found = entry("optimizer", name);
  const std::string context = who("optimizer", found.info.name);
  const auto table = this->options("optimizer", name);
  auto optimizer =
      create<Optimizer>(found, check_options(table, defaults, context, Missing::allowed));
  for (size_t i = 0; i < groups.size(); ++i) {
    OptionMap merged = groups[i].options;
    merged.insert(defaults.begin(), defaults.end());
    const std::string group = "group " + std::to_string(i + 1) + " of " + context;
    optimizer->add_group({groups[i].parameters, check_options(table, merged, group)});
  }
  return optimizer;
}

void Registry::add_mixer(const std::string& name, OptionTable table, MixerCreator creator) {
  scan();
  for (const auto& entry : entries_) {
    const auto& info = entry->info;
    GAMUT_CHECK(info.kind != "mixer" || info.name != name || !info.problem.empty(),
                "the script registers the mixer `", name, "`, a name that the plugin `",
                info.path.string(), "` has; choose another");
  }
  check_table(table, who("mixer", name));
  script_mixers_[name] = {std::move(table), std::move(creator)};
}

void Registry::warn(const std::string& message) {
  if (std::find(warnings_.begin(), warnings_.end(), message) != warnings_.end()) return;
  warnings_.push_back(message);
  std::fprintf(stderr, "gamut: %s\n", message.c_str());
}

namespace {
Registry*& process_registry() {
  static Registry* registry = nullptr;
  return registry;
}
}  // namespace

Registry& registry() {
  if (!process_registry()) process_registry() = new Registry(SearchPath::standard());
  return *process_registry();
}

void configure(SearchPath path) {
  GAMUT_CHECK(!process_registry(), "the plugin search path was set after plugins were used");
  process_registry() = new Registry(std::move(path));
}

}  // namespace gamut::host
