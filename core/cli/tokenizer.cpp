// gamut tokenizer encode|decode NAME [key=value...] IN OUT: a tokenizer on one file. `train` is in
// tokenizer_train.cpp.
#include <cstdio>

#include "cli/cli.h"
#include "cli/option_words.h"
#include "cli/tokenizer_files.h"
#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string name;
  std::vector<std::string> words;  // options of the tokenizer, then the two files
  int64_t item = 0;
  bool float32 = false;
  bool force = false;
};

// A tokenizer's options are set by the words that are of that form; the two others are files.
int convert(const Arguments& arguments, bool encodes) {
  std::vector<std::string> settings;
  std::vector<fs::path> files;
  for (const auto& word : arguments.words) {
    if (is_setting(word)) {
      settings.push_back(word);
    } else {
      files.emplace_back(word);
    }
  }
  GAMUT_CHECK(files.size() == 2, "which files? After the tokenizer's name and its key=value come ",
              "two, IN and OUT, and here are ", files.size(),
              "; a name with `=` in it is given as ./NAME");
  GAMUT_CHECK(files[1] == "-" || arguments.force || !fs::exists(files[1]), "`", files[1].string(),
              "` is there already; give another name, or --force to replace it");

  auto& registry = host::registry();
  const auto info = registry.find("tokenizer", arguments.name);
  const std::string context = "tokenizer `" + info.name + "`";
  const OptionTable table = registry.options("tokenizer", arguments.name);
  const OptionMap options = parse_options(settings, table, context);
  const auto tokenizer = registry.create_tokenizer(arguments.name, options);
  const TokenizerJob job{
      *tokenizer,     data::TokenizerRecord::of(*tokenizer, info.name, info.version, options),
      files[0],       files[1],
      arguments.item, arguments.float32};
  const bool is_audio = tokenizer->info().is_audio;
  if (encodes) {
    is_audio ? encode_audio(job) : encode_text(job);
  } else {
    is_audio ? decode_audio(job) : decode_text(job);
  }
  return kSuccess;
}

void add_conversion(CLI::App& group, Context& context, const char* name, const char* what,
                    const char* files, bool encodes) {
  auto* verb = group.add_subcommand(name, what);
  auto arguments = std::make_shared<Arguments>();
  verb->add_option("tokenizer", arguments->name, "Its name, or the path of its plugin")->required();
  verb->add_option("words", arguments->words, files)->required();
  verb->add_flag("--force", arguments->force, "Replace a file that is there");
  if (!encodes) {
    verb->add_option("--item", arguments->item, "Of a codes shard: which item, counted from 0");
    verb->add_flag("--float32", arguments->float32,
                   "WAV with 32-bit floats rather than 16-bit integers");
  }
  verb->callback([&context, arguments, encodes] {
    context.verb = [arguments, encodes] { return convert(*arguments, encodes); };
  });
}

}  // namespace

void add_tokenizer(CLI::App& app, Context& context) {
  auto* group = app.add_subcommand("tokenizer", "Train a tokenizer, or use one on a file");
  group->require_subcommand(1);
  add_tokenizer_train(*group, context);
  add_conversion(*group, context, "encode", "Encode a file of text or audio",
                 "The tokenizer's key=value, then IN and OUT. Text becomes a shard (.bin) or\n"
                 "decimal numbers (any other ending, - for standard output); audio becomes the\n"
                 "codec's own file (.dac, .ecdc) or a codes shard (.safetensors)",
                 true);
  add_conversion(*group, context, "decode", "Decode what `encode` wrote",
                 "The tokenizer's key=value, then IN and OUT. Ids become text (- for standard\n"
                 "output), codes become .wav or .flac",
                 false);
}

}  // namespace gamut::cli
