// gamut report RUN_DIR: writes report.html of a run folder, also of one that is still going or has
// crashed. gamut compare RUN_DIR RUN_DIR...: one page with several runs side by side.
#include "cli/cli.h"

namespace gamut::cli {

void add_report(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("report", "Write report.html of a run folder again");
  auto folder = std::make_shared<std::string>();
  verb->add_option("run_dir", *folder, "The run folder")->required();
  verb->callback([folder, &context] {
    context.verb = [folder, &context] {
      return run_line(context, "print((require 'gamut.report'.write(...)))", {*folder});
    };
  });
}

void add_compare(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("compare", "Compare runs: settings that differ, results, curves");
  auto folders = std::make_shared<std::vector<std::string>>();
  auto output = std::make_shared<std::string>("compare.html");
  verb->add_option("run_dirs", *folders, "Two to eight run folders; the first is the base")
      ->required()
      ->expected(2, 8);
  verb->add_option("-o,--output", *output, "The page to write")->capture_default_str();
  verb->callback([folders, output, &context] {
    context.verb = [folders, output, &context] {
      std::vector<std::string> arguments = {*output};
      arguments.insert(arguments.end(), folders->begin(), folders->end());
      return run_line(context, "require 'gamut.report.compare'(...)", arguments);
    };
  });
}

}  // namespace gamut::cli
