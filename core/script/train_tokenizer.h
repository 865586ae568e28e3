// A tokenizer's model from text: what `gamut tokenizer train` and gamut.data.train_tokenizer do.
#pragma once

#include <gamut/options.h>

#include <filesystem>
#include <string>
#include <vector>

namespace gamut::script {

struct TokenizerTraining {
  std::string tokenizer;
  std::vector<std::filesystem::path> inputs;  // files of documents, or folders with such below
  std::string field = "text";                 // of JSON lines; the column of Parquet
  std::filesystem::path output;
  OptionMap options;     // of the tokenizer's trainer
  bool replace = false;  // a model that is there
};

// What the training of a tokenizer can be told. Throws gamut::Error for one that is not trained
// from text.
OptionTable tokenizer_training_options(const std::string& tokenizer);

// Writes `output`, whole or not at all, and shows on standard error how far it is. SIGINT and
// SIGTERM end it while it reads, where handle_signals() notes them. Throws gamut::Error.
void train_tokenizer(const TokenizerTraining& training);

}  // namespace gamut::script
