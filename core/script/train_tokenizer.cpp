#include "script/train_tokenizer.h"

#include <gamut/training.h>

#include <optional>

#include "data/prepare/training_text.h"
#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"
#include "script/signals.h"
#include "telemetry/progress.h"

namespace gamut::script {
namespace {

TokenizerTrainer& trainer_of(const std::string& tokenizer) {
  auto* trainer = static_cast<TokenizerTrainer*>(
      host::registry().query("tokenizer", tokenizer, TokenizerTrainer::kId));
  GAMUT_CHECK(trainer, "the tokenizer `", tokenizer, "` is not trained from text");
  return *trainer;
}

// The line on the terminal: how many files have been read.
class Line {
 public:
  void show(size_t done, size_t all) {
    telemetry::ProgressPlan plan;
    plan.total_steps = static_cast<int64_t>(all);
    plan.unit = "files";
    if (!progress_) progress_.emplace(plan, telemetry::ProgressOutput::standard_error());
    telemetry::ProgressUpdate update;
    update.step = static_cast<int64_t>(done);
    progress_->update(update);
    if (done == all) progress_->finish();
  }
  void note(const std::string& text) {
    if (progress_) return progress_->note(text);
    std::fprintf(stderr, "%s\n", text.c_str());
  }

 private:
  std::optional<telemetry::Progress> progress_;
};

}  // namespace

OptionTable tokenizer_training_options(const std::string& tokenizer) {
  return trainer_of(tokenizer).options();
}

void train_tokenizer(const TokenizerTraining& training) {
  TokenizerTrainer& trainer = trainer_of(training.tokenizer);
  const Options options =
      host::check_options(trainer.options(), training.options,
                          "training of the tokenizer `" + training.tokenizer + "`");
  GAMUT_CHECK(training.replace || !std::filesystem::exists(training.output), "`",
              training.output.string(),
              "` is there already; give another output=, or --force (in Lua replace = true)");
  Line line;
  data::TrainingTextOptions of_text;
  of_text.inputs = training.inputs;
  of_text.field = training.field;
  of_text.progress = [&](size_t done, size_t all) { line.show(done, all); };
  of_text.passed_over = [&](const std::string& why) { line.note("gamut: passed over: " + why); };
  data::TrainingText text(std::move(of_text));
  const auto next = [&](std::string& document) {
    GAMUT_CHECK(!interrupted(), "interrupted while a tokenizer was trained; nothing is kept of it");
    return text.next(document);
  };
  trainer.train(options, next, training.output);
}

}  // namespace gamut::script
