// gamut check PLUGIN: runs the conformance suite of the plugin's kind, in a child process.
#include <iostream>

#include "cli/cli.h"
#include "cli/option_words.h"
#include "cli/plugin_choice.h"
#include "plugin_host/conformance.h"
#include "plugin_host/options_check.h"

namespace gamut::cli {
namespace {

// What the suite fills in where an option is required and the command line does not give it.
const std::map<std::string, OptionValue> kUsual = {{"d_model", OptionValue(int64_t{32})},
                                                   {"n_heads", OptionValue(int64_t{4})},
                                                   {"lr", OptionValue(0.02)}};

void fill_in_required(const OptionTable& table, OptionMap& options) {
  for (const auto& spec : table) {
    const auto usual = kUsual.find(spec.name);
    const bool required = !spec.default_value && !spec.is_optional;
    if (required && usual != kUsual.end()) options.insert(*usual);
  }
}

// The options with every dropout off, those in tables such as mixer_options too: most checks need
// a mixer that answers alike each time.
OptionMap without_dropout(OptionMap options) {
  for (auto& [name, value] : options) {
    if (const auto* table = std::get_if<std::shared_ptr<const OptionMap>>(&value.base())) {
      if (*table) value = OptionValue(std::make_shared<const OptionMap>(without_dropout(**table)));
    } else if (name.find("dropout") != std::string::npos &&
               (std::holds_alternative<double>(value.base()) ||
                std::holds_alternative<int64_t>(value.base()))) {
      value = OptionValue(0.0);
    }
  }
  return options;
}

void check_mixer(host::Registry& registry, const host::PluginInfo& info, const OptionTable& table,
                 const OptionMap& options, host::ConformanceReport& report) {
  const bool has_width = std::any_of(table.begin(), table.end(), [](const OptionSpec& spec) {
    return spec.name == "d_model" && spec.type == OptionType::integer;
  });
  GAMUT_CHECK(has_width, "the mixer `", info.name,
              "` declares no integer option `d_model`, the width of its input");
  const std::string context = "mixer `" + info.name + "`";
  const int64_t width = host::check_options(table, options, context).integer("d_model");
  const std::string name = reference(info);
  const bool has_dropout = std::any_of(table.begin(), table.end(), [](const OptionSpec& spec) {
    return spec.name == "dropout" && spec.type == OptionType::number;
  });
  host::MixerMaker with_dropout;
  if (has_dropout) {
    OptionMap dropping = options;
    dropping["dropout"] = OptionValue(0.5);
    with_dropout = [&registry, name, dropping] { return registry.create_mixer(name, dropping); };
  }
  const OptionMap quiet = without_dropout(options);
  host::check_mixer([&] { return registry.create_mixer(name, quiet); }, width, report,
                    with_dropout);
}

int check_plugin(host::Registry& registry, const host::PluginInfo& info,
                 const std::vector<std::string>& given, host::LastOperation& operation) {
  const std::string name = reference(info);
  const std::string context = info.kind + " `" + info.name + "`";
  host::ConformanceReport report(std::cout,
                                 [&](const std::string& check) { operation.set(check); });
  operation.set("opening the library");
  const OptionTable table = registry.options(info.kind, name);
  OptionMap options = parse_options(given, table, context);
  fill_in_required(table, options);
  report.check("declared options", [&] {
    host::check_table(table, context);
    host::check_ranges(table, context);
    return std::to_string(table.size()) + (table.size() == 1 ? " option" : " options");
  });
  if (info.kind == "mixer") check_mixer(registry, info, table, options, report);
  if (info.kind == "tokenizer") {
    host::check_tokenizer([&] { return registry.create_tokenizer(name, options); }, report);
  }
  if (info.kind == "optimizer") {
    auto make = [&](const std::vector<host::GroupRequest>& groups, const OptionMap& defaults) {
      return registry.create_optimizer(name, groups, defaults);
    };
    host::check_optimizer(make, table, options, report);
  }
  return report.finish(info.version.empty() ? context : context + " " + info.version) ? kSuccess
                                                                                      : kBadPlugin;
}

bool is_script(const std::string& plugin) {
  return std::filesystem::path(plugin).extension() == ".lua";
}

// Runs the suite on every mixer that the script registers.
int check_script(const Context& context, const std::string& script,
                 const std::vector<std::string>& given, host::LastOperation& operation) {
  operation.set("running the script");
  script::Interpreter::Options options;
  options.full_traceback = context.full_traceback;
  script::Interpreter interpreter(options);
  script::ScriptError error;
  if (!interpreter.run_file(script, {}, error)) return report(error);
  auto& registry = host::registry();
  int code = kSuccess, found = 0;
  for (const auto& info : registry.list()) {
    if (info.kind != "mixer" || !info.path.empty()) continue;
    ++found;
    code = std::max(code, check_plugin(registry, info, given, operation));
  }
  GAMUT_CHECK(found > 0, script, " registers no mixer; end it with nn.register_mixer(name, class, ",
              "options)");
  return code;
}

int check(const Context& context, const PluginChoice& choice,
          const std::vector<std::string>& options) {
  if (is_script(choice.plugin)) {
    const std::filesystem::path file = choice.plugin;
    const host::PluginInfo info{"script", file.stem().string(), "", "", file, ""};
    return choice.in_child(info, [&](host::LastOperation& operation) {
      return check_script(context, choice.plugin, options, operation);
    });
  }
  auto& registry = host::registry();
  const auto info = choice.resolve(registry);
  return choice.in_child(info, [&](host::LastOperation& operation) {
    return check_plugin(registry, info, options, operation);
  });
}

}  // namespace

void add_check(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("check", "Test a plugin against the contract of its kind");
  auto choice = std::make_shared<PluginChoice>();
  auto options = std::make_shared<std::vector<std::string>>();
  choice->add_to(*verb, 600);
  verb->get_option("plugin")->description(
      "Name of a plugin, path of its file, or a Lua script that registers mixers");
  verb->add_option(
      "options", *options,
      "name=value of an option of the plugin, or name.entry=value where it is a table; "
      "any number");
  verb->callback([&context, choice, options] {
    context.verb = [choice, options, &context] {
      return telling_errors([&] { return check(context, *choice, *options); });
    };
  });
}

}  // namespace gamut::cli
