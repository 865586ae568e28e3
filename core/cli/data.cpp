// gamut data VERB: token shards made, fetched and looked into. Each verb has a file of its own.
#include "cli/cli.h"

namespace gamut::cli {

void add_data(CLI::App& app, Context& context) {
  auto* data = app.add_subcommand("data", "Prepare, fetch and inspect data sets");
  data->require_subcommand(1);
  add_data_prepare(*data, context);
  add_data_fetch(*data, context);
  add_data_inspect(*data, context);
}

}  // namespace gamut::cli
