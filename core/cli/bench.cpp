// gamut bench VERB: how long operators and training steps take here, beside what the machine could
// do, and how near operators are to their definitions. The verbs are functions of Lua modules.
#include "cli/cli.h"

namespace gamut::cli {
namespace {

constexpr WordVerb kVerbs[] = {
    {"kernels", "Time operators beside the floor that bytes and arithmetic set", "words",
     "Operators, or parts of their names, default all; then key=value",
     "The settings and the operators", "require 'gamut.bench.kernels'(...)",
     script::OnSignal::raise},
    {"step", "Time a training step of an experiment, and where it goes", "experiment",
     "A folder with bench.lua, or an experiment's name; then key=value",
     "The settings, or those of the experiment that is named", "require 'gamut.bench.step'(...)",
     script::OnSignal::raise},
    {"parity", "Compare operators on a device with their definitions in float64", "words",
     "Operators, or parts of their names, default all; then key=value",
     "The settings and the operators", "require 'gamut.bench.parity'(...)",
     script::OnSignal::raise}};

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  auto* bench = app.add_subcommand("bench", "Time operators and steps, check operators");
  bench->require_subcommand(1);
  for (const WordVerb& verb : kVerbs) add_word_verb(*bench, context, verb);
}

}  // namespace gamut::cli
