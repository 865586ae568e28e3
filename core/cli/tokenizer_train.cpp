// gamut tokenizer train NAME input=PATH output=FILE [key=value...]: a tokenizer's model from text.
#include <gamut/training.h>

#include <algorithm>
#include <cstdio>

#include "cli/cli.h"
#include "cli/option_words.h"
#include "data/documents.h"
#include "data/prepare/text_work.h"
#include "data/prepare/walk.h"
#include "plugin_host/options_check.h"
#include "plugin_host/registry.h"
#include "telemetry/progress.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& line_endings() {
  static const std::vector<std::string> endings = {".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"};
  return endings;
}

bool is_lines(const fs::path& path) {
  const std::string name = path.filename().string();
  return std::any_of(line_endings().begin(), line_endings().end(), [&](const std::string& ending) {
    return name.size() > ending.size() &&
           name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
  });
}

// The file, or the text files and files of JSON lines below the folder.
std::vector<fs::path> files_of(const fs::path& input) {
  std::error_code error;
  if (!fs::is_directory(input, error)) {
    GAMUT_CHECK(fs::exists(input, error), "there is no file or folder ", input.string());
    return {input};
  }
  std::vector<std::string> endings = line_endings();
  for (const auto& ending : data::text_endings()) {
    endings.push_back(ending);
    endings.push_back(ending + ".gz");
  }
  std::vector<fs::path> files;
  for (const auto& name : data::walk_files(input, endings)) files.push_back(input / name);
  GAMUT_CHECK(!files.empty(), "the folder ", input.string(),
              " holds no text: files that end in .txt, .md, .rst, .pod or .jsonl, also with .gz");
  return files;
}

// The documents of files, one after the other; files that are no text are passed over and told.
class Documents {
 public:
  Documents(std::vector<fs::path> files, std::string field)
      : files_(std::move(files)),
        field_(std::move(field)),
        progress_(plan(files_), telemetry::ProgressOutput::standard_error()) {}

  bool next(std::string& text) {
    for (;;) {
      if (!source_ && !open()) return false;
      try {
        if (read(text)) return true;
      } catch (const Error& error) {
        pass_over(error);
      }
      close();
    }
  }

 private:
  static telemetry::ProgressPlan plan(const std::vector<fs::path>& files) {
    telemetry::ProgressPlan plan;
    plan.total_steps = static_cast<int64_t>(files.size());
    plan.unit = "files";
    return plan;
  }

  bool read(std::string& text) {
    if (!source_->next()) return false;
    text.clear();
    for (std::string piece = source_->read(kPiece); !piece.empty(); piece = source_->read(kPiece)) {
      text += piece;
    }
    return true;
  }

  bool open() {
    while (at_ < files_.size()) {
      const fs::path& path = files_[at_];
      data::Unit unit;
      unit.name = path.string();
      unit.path = path;
      unit.facts = is_lines(path) ? nlohmann::json{{"format", "lines"}, {"field", field_}}.dump()
                                  : nlohmann::json{{"format", "text"}}.dump();
      std::error_code error;
      unit.bytes = fs::file_size(path, error);
      try {
        source_ = data::open_documents(unit);
        return true;
      } catch (const Error& reason) {
        pass_over(reason);
        close();
      }
    }
    progress_.finish();
    return false;
  }

  void close() {
    if (source_) {
      const auto facts = source_->facts();
      if (facts.contains("documents_skipped")) {
        pass_over(Error(
            c10::str(files_[at_].string(), ": ", facts["documents_skipped"].get<int64_t>(),
                     " lines are no documents; ", facts["first_skipped"].get<std::string>())));
      }
    }
    source_.reset();
    telemetry::ProgressUpdate update;
    update.step = static_cast<int64_t>(++at_);
    progress_.update(update);
  }

  void pass_over(const Error& error) {
    progress_.note(std::string("gamut: passed over: ") + error.what());
  }

  static constexpr size_t kPiece = size_t{1} << 20;
  std::vector<fs::path> files_;
  std::string field_;
  telemetry::Progress progress_;
  size_t at_ = 0;
  std::unique_ptr<data::DocumentSource> source_;
};

// What the verb itself takes, beside the trainer's options.
struct Request {
  std::vector<fs::path> files;
  fs::path output;
  std::string field = "text";
  std::vector<std::string> options;
};

Request request_of(const std::vector<std::string>& words) {
  Request request;
  for (const auto& word : words) {
    GAMUT_CHECK(is_setting(word), "`", word, "` is not of the form key=value");
    const std::string key = word.substr(0, word.find('='));
    const std::string value = word.substr(key.size() + 1);
    if (key == "input") {
      for (auto& file : files_of(value)) request.files.push_back(std::move(file));
    } else if (key == "output") {
      request.output = value;
    } else if (key == "field") {
      request.field = value;
    } else {
      request.options.push_back(word);
    }
  }
  GAMUT_CHECK(!request.files.empty(), "input=PATH says which text to learn from: a file, a folder ",
              "of texts, JSON lines (.jsonl), also with .gz; it may be given several times");
  GAMUT_CHECK(!request.output.empty(), "output=FILE says where the model goes");
  return request;
}

int train(const std::string& name, const std::vector<std::string>& words, bool force) {
  auto& registry = host::registry();
  const std::string context = "training of the tokenizer `" + name + "`";
  auto* trainer =
      static_cast<TokenizerTrainer*>(registry.query("tokenizer", name, TokenizerTrainer::kId));
  GAMUT_CHECK(trainer, "the tokenizer `", name, "` is not trained from text");
  const Request request = request_of(words);
  const OptionTable table = trainer->options();
  const Options options =
      host::check_options(table, parse_options(request.options, table, context), context);
  GAMUT_CHECK(force || !fs::exists(request.output), "`", request.output.string(),
              "` is there already; give another output=, or --force to replace it");
  Documents documents(request.files, request.field);
  trainer->train(options, [&](std::string& text) { return documents.next(text); }, request.output);
  std::printf("Wrote %s.\n", request.output.c_str());
  return kSuccess;
}

void print_options(const std::string& name) {
  auto* trainer = static_cast<TokenizerTrainer*>(
      host::registry().query("tokenizer", name, TokenizerTrainer::kId));
  GAMUT_CHECK(trainer, "the tokenizer `", name, "` is not trained from text");
  for (const auto& spec : trainer->options()) {
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
  verb->add_option("settings", *words,
                   "input=PATH (text files, folders, JSON lines, also .gz; several times),\n"
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
