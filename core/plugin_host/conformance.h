// The contracts of the SDK as tests that run on any plugin: what `gamut check` does.
//
// Each suite takes a function that makes fresh instances, so that plugins, mixers written in a
// script and deliberately wrong ones are checked alike.
#pragma once

#include <gamut/plugin.h>

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "plugin_host/registry.h"

namespace gamut::host {

// Collects the outcomes of named checks and prints one line for each.
class ConformanceReport {
 public:
  // `begin` is told the name of each check before it runs, for whoever must know what crashed.
  explicit ConformanceReport(std::ostream& out,
                             std::function<void(const std::string&)> begin = nullptr);

  // Runs `body`, which returns figures for its line, or throws to fail.
  void check(const std::string& name, const std::function<std::string()>& body);

  int checks() const { return checks_; }
  int failures() const { return failures_; }
  // Prints the last line; true when nothing failed.
  bool finish(const std::string& subject);

 private:
  std::ostream& out_;
  std::function<void(const std::string&)> begin_;
  int checks_ = 0;
  int failures_ = 0;
};

// A mixer of width `d_model` with dropout off; equal generator states give equal parameters.
// `with_dropout` makes the same with dropout on, where the mixer has that option.
using MixerMaker = std::function<std::unique_ptr<Mixer>()>;
void check_mixer(const MixerMaker& make, int64_t d_model, ConformanceReport& report,
                 const MixerMaker& with_dropout = nullptr);

using TokenizerMaker = std::function<std::unique_ptr<Tokenizer>()>;
void check_tokenizer(const TokenizerMaker& make, ConformanceReport& report);

// `table` tells which of the usual options (lr, weight_decay) there are; `options` are used for all
// groups unless a check changes them.
using OptimizerMaker = std::function<std::unique_ptr<Optimizer>(const std::vector<GroupRequest>&,
                                                                const OptionMap& defaults)>;
void check_optimizer(const OptimizerMaker& make, const OptionTable& table, const OptionMap& options,
                     ConformanceReport& report);

}  // namespace gamut::host
