// Documents as the sentences that a model learns from.
#pragma once

#include <gamut/training.h>
#include <sentencepiece_trainer.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <string>

namespace gamut::sentencepiece_plugin {

// A document is one sentence: NUL becomes a space, white space at the ends goes, and empty ones are
// left out. So are those above `longest` bytes, unless they are to be split at the ends of their
// lines (and lines above that, at spaces).
class Sentences final : public ::sentencepiece::SentenceIterator {
 public:
  Sentences(const TokenizerTrainer::Documents& next, size_t longest, bool split);

  bool done() const override { return waiting_.empty(); }
  void Next() override;  // NOLINT(readability-identifier-naming): the library's name
  const std::string& value() const override { return waiting_.front(); }
  ::sentencepiece::util::Status status() const override { return {}; }

  int64_t documents() const { return documents_; }  // read so far
  int64_t left_out() const { return left_out_; }    // for their length

  // Throws what reading the documents threw while the library called: it has no exceptions.
  void rethrow() const;

 private:
  void fill();
  void add(std::string document);
  void add_parts(const std::string& document);

  const TokenizerTrainer::Documents& next_;
  size_t longest_;
  bool split_;
  std::deque<std::string> waiting_;
  int64_t documents_ = 0, left_out_ = 0;
  std::exception_ptr failure_;
};

}  // namespace gamut::sentencepiece_plugin
