// The library does the training. Here: options, what a document becomes, and files that are there
// whole or not at all.
#include "trainer.h"

#include <fcntl.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "sentences.h"

namespace gamut::sentencepiece_plugin {
namespace {

namespace fs = std::filesystem;
namespace spm = ::sentencepiece;

// Options that go to the library under their own name.
OptionTable library_options() {
  return {
      option::integer("vocab_size", "pieces, special ids and bytes included")
          .value(int64_t{1024})
          .at_least(1)
          .at_most(1 << 20),
      option::string("model_type", "how text is cut into pieces")
          .value("bpe")
          .one_of({"bpe", "unigram", "char", "word"}),
      option::number("character_coverage", "share of all characters that get a piece")
          .value(0.999)
          .at_least(0.98)
          .at_most(1),
      option::boolean("byte_fallback", "characters without a piece become the bytes of their UTF-8")
          .value(true),
      option::boolean("split_digits", "each digit is a piece of its own").value(true),
      option::string("normalization_rule_name", "what is done to text before it is cut")
          .value("nmt_nfkc")
          .one_of({"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"}),
      option::boolean("add_dummy_prefix", "a text begins with a space").value(false),
      option::boolean("remove_extra_whitespaces",
                      "spaces at the ends of a text and repeated ones are dropped")
          .value(true),
      option::boolean("hard_vocab_limit", "fewer pieces than vocab_size are an error").value(false),
      option::integer("pad_id", "-1 for none").value(int64_t{0}).at_least(-1).at_most(1 << 20),
      option::integer("bos_id", "-1 for none").value(int64_t{1}).at_least(-1).at_most(1 << 20),
      option::integer("eos_id", "-1 for none").value(int64_t{2}).at_least(-1).at_most(1 << 20),
      option::integer("unk_id", "every model has one")
          .value(int64_t{3})
          .at_least(0)
          .at_most(1 << 20),
      option::integer("input_sentence_size", "learn from so many sentences, drawn from all; 0: all")
          .value(int64_t{0})
          .at_least(0)
          .at_most(1e9),
      option::integer("max_sentence_length", "bytes of a sentence; longer ones are left out")
          .value(int64_t{4192})
          .at_least(10)
          .at_most(1 << 30),
  };
}

OptionTable own_options() {
  return {
      option::string("long_documents",
                     "those above max_sentence_length: leave out, or split at the ends of lines")
          .value("skip")
          .one_of({"skip", "split"}),
  };
}

std::string as_text(const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value.base())) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&value.base())) return c10::str(*number);
  if (const auto* integer = std::get_if<int64_t>(&value.base())) return c10::str(*integer);
  return std::get<std::string>(value.base());
}

std::unordered_map<std::string, std::string> library_arguments(const Options& options) {
  std::unordered_map<std::string, std::string> arguments;
  for (const auto& spec : library_options()) {
    arguments[spec.name] = as_text(options.values().at(spec.name));
  }
  arguments["minloglevel"] = "2";  // errors come back as a status
  return arguments;
}

void check_options(const Options& options) {
  const int64_t size = options.integer("vocab_size");
  std::vector<int64_t> ids;
  for (const char* name : {"pad_id", "bos_id", "eos_id", "unk_id"}) {
    const int64_t id = options.integer(name);
    GAMUT_CHECK(id < size, "`", name, "` is ", id, ", outside of a vocabulary of ", size);
    GAMUT_CHECK(id < 0 || std::find(ids.begin(), ids.end(), id) == ids.end(), "`", name, "` is ",
                id, ", an id that another special piece has");
    ids.push_back(id);
  }
  const int64_t least = (options.boolean("byte_fallback") ? 256 : 0) + 4;
  GAMUT_CHECK(size > least, "a vocabulary of ", size, " has no room for any piece of text: ", least,
              " ids go to special pieces and bytes; choose a larger `vocab_size`");
}

// The library's words, and what can be done about those that its users meet.
std::string advice(const std::string& message) {
  if (message.find("vocab_size") == std::string::npos &&
      message.find("Vocabulary size") == std::string::npos) {
    return message;
  }
  return message +
         "; choose a `vocab_size` between the characters that must have a piece (fewer "
         "with a lower `character_coverage`) and what the texts can fill, or give "
         "hard_vocab_limit=false";
}

// Written beside `path`, flushed, then renamed.
void write_whole(const fs::path& path, const std::string& bytes) {
  const std::string temporary = c10::str(path.string(), ".", ::getpid(), ".partial");
  auto check = [&](bool fine, const char* what) {
    if (fine) return;
    const int error = errno;
    ::unlink(temporary.c_str());
    throw Error(c10::str("cannot ", what, " `", path.string(), "`: ", std::strerror(error)));
  };
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  check(file >= 0, "write");
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(file, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      ::close(file);
      errno = error;
      check(false, "write");
    }
    done += static_cast<size_t>(count);
  }
  const bool flushed = ::fsync(file) == 0;
  check(::close(file) == 0 && flushed, "write");
  check(::rename(temporary.c_str(), path.c_str()) == 0, "put into place");
}

void tell_of_left_out(const Sentences& sentences) {
  if (sentences.left_out() == 0) return;
  std::fprintf(stderr,
               "gamut: %lld of %lld documents are longer than max_sentence_length and were left "
               "out; long_documents=split uses them line by line\n",
               static_cast<long long>(sentences.left_out()),
               static_cast<long long>(sentences.documents()));
}

class Trainer final : public TokenizerTrainer {
 public:
  OptionTable options() const override {
    OptionTable table = library_options();
    for (auto& spec : own_options()) table.push_back(std::move(spec));
    return table;
  }

  void train(const Options& options, const Documents& next, const fs::path& path) override {
    check_options(options);
    Sentences sentences(next, static_cast<size_t>(options.integer("max_sentence_length")),
                        options.string("long_documents") == "split");
    GAMUT_CHECK(!sentences.done(), "there is no text to train on: ", sentences.documents(),
                " documents, of which ", sentences.left_out(),
                " are longer than max_sentence_length and the others empty",
                sentences.left_out() > 0 ? "; give long_documents=split, or a larger "
                                           "max_sentence_length"
                                         : "");
    std::string model;
    const auto status =
        spm::SentencePieceTrainer::Train(library_arguments(options), &sentences, &model);
    sentences.rethrow();
    GAMUT_CHECK(status.ok(),
                "SentencePiece cannot train a model: ", advice(status.error_message()));
    tell_of_left_out(sentences);
    write_whole(path, model);
  }
};

}  // namespace

TokenizerTrainer& trainer() {
  static auto& trainer = *new Trainer;  // never destroyed: see TokenizerTrainer
  return trainer;
}

}  // namespace gamut::sentencepiece_plugin
