// Makes SentencePiece tokenizers and trains their models, for the tests of both.
#pragma once

#include <ATen/ATen.h>
#include <gamut/training.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "../common.h"
#include "checkpoint/weights_op.h"
#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"

namespace gamut {

inline host::Registry& tree_plugins() {
  static auto& registry = *[] {
    checkpoint::link_operators();
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    return new host::Registry(path);
  }();
  return registry;
}

inline std::unique_ptr<Tokenizer> sentencepiece_of(const std::string& model) {
  return tree_plugins().create_tokenizer("sentencepiece", {{"model", OptionValue(model)}});
}

inline TokenizerTrainer& sentencepiece_trainer() {
  void* found = tree_plugins().query("tokenizer", "sentencepiece", TokenizerTrainer::kId);
  return *static_cast<TokenizerTrainer*>(found);
}

// Sentences of 400 words made of syllables: the same for the same seed, on every machine.
inline std::vector<std::string> made_up_documents(size_t count) {
  const std::vector<std::string> syllables = {"ka",  "lo", "mi", "ter", "an", "the", "ing", "pre",
                                              "son", "ze", "qu", "or",  "é",  "ü",   "na",  "st"};
  std::mt19937 random(7);
  std::vector<std::string> words(400), documents(count);
  for (auto& word : words) {
    for (size_t i = 0; i < 1 + random() % 4; ++i) word += syllables[random() % syllables.size()];
  }
  for (auto& document : documents) {
    for (size_t i = 0; i < 5 + random() % 20; ++i) {
      document += words[random() % (1 + random() % words.size())] + " ";
    }
    document += std::to_string(random() % 1000) + ".";
  }
  return documents;
}

inline TokenizerTrainer::Documents reading(std::vector<std::string> documents) {
  return [documents = std::move(documents), at = size_t{0}](std::string& text) mutable {
    if (at == documents.size()) return false;
    text = documents[at++];
    return true;
  };
}

// `options` on top of a vocabulary of 512 pieces.
inline void train_sentencepiece(
    const std::filesystem::path& path, OptionMap options,
    TokenizerTrainer::Documents next = reading(made_up_documents(800))) {
  options.insert({"vocab_size", OptionValue(int64_t{512})});
  auto& trainer = sentencepiece_trainer();
  trainer.train(host::check_options(trainer.options(), options, "training"), next, path);
}

inline std::vector<int64_t> ids_of(const at::Tensor& codes) {
  const auto* first = codes.const_data_ptr<int64_t>();
  return {first, first + codes.numel()};
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

using test::error_of;
using test::TemporaryFolder;

}  // namespace gamut
