// gamut plugins: which plugins there are. gamut plugins show NAME: what one of them takes.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "cli/cli.h"
#include "cli/plugin_choice.h"
#include "plugin_host/options_check.h"

namespace gamut::cli {
namespace {

using Row = std::vector<std::string>;

// Columns of the terminal, or those that COLUMNS tells; 0 where lines may be of any length.
size_t line_length() {
  if (const char* columns = std::getenv("COLUMNS")) return std::strtoul(columns, nullptr, 10);
  winsize size{};
  return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// Lines of at most `length` characters, broken at spaces, all but the first indented.
std::string wrapped(const std::string& text, size_t length, size_t indent) {
  std::istringstream words(text);
  std::string result;
  size_t used = 0;
  for (std::string word; words >> word;) {
    const bool fits = used == 0 || used + 1 + word.size() <= length;
    if (used > 0) result += fits ? " " : "\n" + std::string(indent, ' ');
    used = (fits && used > 0 ? used + 1 : 0) + word.size();
    result += word;
  }
  return result;
}

// Columns as wide as their widest cell; the last one is wrapped where the terminal ends, if it has
// room at all.
void print_table(const std::vector<Row>& rows, const std::string& indent = "") {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  size_t before = indent.size();
  for (size_t i = 0; i + 1 < widths.size(); ++i) before += widths[i] + 2;
  const size_t line = line_length();
  const bool wraps = line >= before + 20;
  for (const auto& row : rows) {
    std::printf("%s", indent.c_str());
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      std::printf("%-*s  ", static_cast<int>(widths[i]), row[i].c_str());
    }
    const std::string last = wraps ? wrapped(row.back(), line - before, before) : row.back();
    std::printf("%s\n", last.c_str());
  }
}

int list_plugins(host::Registry& registry) {
  std::vector<Row> rows = {{"KIND", "NAME", "VERSION", "DESCRIPTION", "FILE"}};
  std::vector<std::string> problems;
  for (const auto& info : registry.list()) {
    if (info.problem.empty()) {
      rows.push_back({info.kind, info.name, info.version, info.description, info.path.string()});
    } else {
      problems.push_back(info.problem);
    }
  }
  if (rows.size() > 1) {
    print_table(rows);
  } else {
    std::printf("No plugins were found. Name a folder with --plugin-path or GAMUT_PLUGIN_PATH.\n");
  }
  if (!problems.empty()) std::printf("\nRefused:\n");
  for (const auto& problem : problems) std::printf("  %s\n", problem.c_str());
  return kSuccess;
}

Row option_row(const OptionSpec& spec) {
  std::string value = "required";
  if (spec.is_optional) value = "may be absent";
  if (spec.default_value) value = host::to_text(*spec.default_value);
  std::string doc = spec.doc;
  if (const std::string range = host::range_text(spec); !range.empty()) doc += " (" + range + ")";
  std::string choices;
  for (const auto& choice : spec.choices) choices += (choices.empty() ? "" : " | ") + choice;
  if (!choices.empty()) doc += " (" + choices + ")";
  return {spec.name, host::type_name(spec.type), value, doc};
}

int show_plugin(host::Registry& registry, const host::PluginInfo& info,
                host::LastOperation& operation) {
  operation.set("opening the library and reading its options");
  const OptionTable table = registry.options(info.kind, reference(info));
  std::printf("%s `%s` %s\n%s\n%s\n", info.kind.c_str(), info.name.c_str(), info.version.c_str(),
              info.description.c_str(), info.path.c_str());
  if (table.empty()) {
    std::printf("\nIt has no options.\n");
    return kSuccess;
  }
  std::vector<Row> rows = {{"OPTION", "TYPE", "DEFAULT", "MEANING"}};
  for (const auto& spec : table) rows.push_back(option_row(spec));
  std::printf("\n");
  print_table(rows, "  ");
  return kSuccess;
}

}  // namespace

void add_plugins(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("plugins", "List the plugins that were found");
  auto* show = verb->add_subcommand("show", "The options of a plugin");
  auto choice = std::make_shared<PluginChoice>();
  choice->add_to(*show, 60);
  verb->callback([&context, show, choice] {
    context.verb = [show = show->parsed(), choice] {
      return telling_errors([&] {
        auto& registry = host::registry();
        if (!show) return list_plugins(registry);
        const auto info = choice->resolve(registry);
        return choice->in_child(info, [&](host::LastOperation& operation) {
          return show_plugin(registry, info, operation);
        });
      });
    };
  });
}

}  // namespace gamut::cli
