// gamut tokenizer train NAME input=PATH output=FILE [key=value...]: a tokenizer's model from text.
#include <cstdio>

#include "cli/cli.h"
#include "cli/option_words.h"
#include "plugin_host/options_check.h"
#include "script/train_tokenizer.h"

namespace gamut::cli {
namespace {

// What the verb itself takes, beside the trainer's options.
script::TokenizerTraining training_of(const std::string& name,
                                      const std::vector<std::string>& words) {
  script::TokenizerTraining training;
  training.tokenizer = name;
  std::vector<std::string> options;
  for (const auto& word : words) {
    GAMUT_CHECK(is_setting(word), "`", word, "` is not of the form key=value");
    const std::string key = word.substr(0, word.find('='));
    const std::string value = word.substr(key.size() + 1);
    if (key == "input") {
      training.inputs.emplace_back(value);
    } else if (key == "output") {
      training.output = value;
    } else if (key == "field") {
      training.field = value;
    } else {
      options.push_back(word);
    }
  }
  GAMUT_CHECK(!training.inputs.empty(), "input=PATH says which text to learn from: a file, a ",
              "folder of texts, JSON lines (.jsonl), also with .gz, Parquet; it may be given ",
              "several times");
  GAMUT_CHECK(!training.output.empty(), "output=FILE says where the model goes");
  training.options = parse_options(options, script::tokenizer_training_options(name),
                                   "training of the tokenizer `" + name + "`");
  return training;
}

int train(const std::string& name, const std::vector<std::string>& words, bool force) {
  script::TokenizerTraining training = training_of(name, words);
  training.replace = force;
  script::train_tokenizer(training);
  std::printf("Wrote %s.\n", training.output.c_str());
  return kSuccess;
}

void print_options(const std::string& name) {
  for (const auto& spec : script::tokenizer_training_options(name)) {
    const std::string fallback = spec.default_value ? host::to_text(*spec.default_value) : "";
    std::printf("  %-26s %s; default %s\n", spec.name.c_str(), spec.doc.c_str(), fallback.c_str());
  }
}

}  // namespace

void add_tokenizer_train(CLI::App& tokenizer, Context& context) {
  auto* verb = tokenizer.add_subcommand("train", "Train a tokenizer's model from text");
  auto name = std::make_shared<std::string>();
  auto words = std::make_shared<std::vector<std::string>>();
  auto force = std::make_shared<bool>(false);
  verb->add_option("tokenizer", *name, "Its name")->required();
  verb->add_option(
      "settings", *words,
      "input=PATH (text files, folders, JSON lines, also .gz, Parquet; several times),\n"
      "output=FILE, field=NAME of JSON lines (text), and the trainer's key=value;\n"
      "without any: which there are");
  verb->add_flag("--force", *force, "Replace a model that is there");
  verb->callback([&context, name, words, force] {
    context.verb = [name, words, force] {
      if (!words->empty()) return train(*name, *words, *force);
      print_options(*name);
      return static_cast<int>(kSuccess);
    };
  });
}

}  // namespace gamut::cli
