// Capability "tokenizer.train/1" of a tokenizer plugin as a whole (Class::plugin_query in
// plugin.h): makes a model from text, so that there is something to construct a tokenizer with.
#pragma once

#include <gamut/options.h>

#include <filesystem>
#include <functional>
#include <string>

namespace gamut {

class __attribute__((visibility("default"))) TokenizerTrainer {
 public:
  static constexpr const char* kId = "tokenizer.train/1";
  virtual ~TokenizerTrainer() = default;

  virtual OptionTable options() const = 0;

  // Puts the next document into its argument; false when there is none.
  using Documents = std::function<bool(std::string&)>;
  // Reads all documents and writes the model to `path`, whole or not at all. Throws gamut::Error.
  virtual void train(const Options& options, const Documents& next,
                     const std::filesystem::path& path) = 0;
};

}  // namespace gamut
