// The registry: which plugins there are, and mixers, tokenizers and optimizers by name.
//
// Finding plugins reads the tags of the files on the search path and opens none; a library is
// opened when something of it is first asked for, and stays open. Used from the thread that runs
// the script.
#pragma once

#include <gamut/plugin.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "plugin_host/guard.h"
#include "plugin_host/library.h"
#include "plugin_host/search_path.h"
#include "plugin_host/tag.h"

namespace gamut::host {

struct PluginInfo {
  std::string kind;  // empty for a file whose tag cannot be read
  std::string name;
  std::string version;
  std::string description;
  std::filesystem::path path;  // empty for a mixer that a script registered
  std::string problem;         // why it cannot be used, as a sentence; empty when it can
  bool is_open = false;        // something of it was asked for in this process
};

// What a script gives for one group of an optimizer.
struct GroupRequest {
  NamedTensors parameters;
  OptionMap options;
};

class Registry : public Host {
 public:
  // Makes a mixer that a script wrote, from options that its table has checked.
  using MixerCreator = std::function<std::unique_ptr<Mixer>(const Options&)>;

  explicit Registry(SearchPath path);

  // All that was found, in the order of the search path, refused files included.
  std::vector<PluginInfo> list();

  // Below, `name` is a plugin's name or the path of its file (it then holds a `/`). Each throws
  // gamut::Error: unknown name (with the nearest), two files of that name, a refused or failing
  // library, wrong options, a failing constructor.
  PluginInfo find(const std::string& kind, const std::string& name);
  OptionTable options(const std::string& kind, const std::string& name);

  std::unique_ptr<Mixer> create_mixer(const std::string& name, const OptionMap& options) override;
  std::unique_ptr<Tokenizer> create_tokenizer(const std::string& name, const OptionMap& options);
  // A capability of the plugin as a whole by its id, such as TokenizerTrainer::kId; null when it
  // has none. Lives as long as the process.
  void* query(const std::string& kind, const std::string& name, const char* id);

  // Options of a group override `defaults`, which are common to all groups.
  std::unique_ptr<Optimizer> create_optimizer(const std::string& name,
                                              const std::vector<GroupRequest>& groups,
                                              const OptionMap& defaults);

  // Makes a mixer written in a script known by name, to scripts and to plugins that wrap mixers.
  // Registering the same name again replaces it; a name that a plugin on the search path has is
  // refused.
  void add_mixer(const std::string& name, OptionTable table, MixerCreator creator);

  // Prints the sentence on standard error, each only once.
  void warn(const std::string& message) override;

 private:
  struct Entry {
    PluginInfo info;
    PluginTag tag;
    OpenPlugin open;      // once opened
    bool on_path = true;  // otherwise only asked for by its path
  };
  struct ScriptMixer {
    OptionTable table;
    MixerCreator create;
  };

  void scan();
  Entry& entry_at(const std::string& kind, const std::filesystem::path& path);
  Entry& entry(const std::string& kind, const std::string& name);
  [[noreturn]] void refuse_unknown(const std::string& kind, const std::string& name);
  const OpenPlugin& open(Entry& entry);
  template <class Kind>
  std::unique_ptr<Kind> create(Entry& entry, const Options& options);

  SearchPath path_;
  bool scanned_ = false;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::map<std::string, ScriptMixer> script_mixers_;
  std::vector<std::string> warnings_;
};

// The registry of this process, never destroyed. `configure` sets its search path and is called
// before anything is asked of it; without it the path is SearchPath::standard().
Registry& registry();
void configure(SearchPath path);

}  // namespace gamut::host
