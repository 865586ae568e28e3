#include "sentences.h"

#include <algorithm>

namespace gamut::sentencepiece_plugin {
namespace {

constexpr const char* kSpace = " \t\n\r\v\f";

std::string stripped(const std::string& text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

// Where a part of at most `longest` bytes that begins at `from` ends: behind a line, else at a
// space, else between two characters.
size_t end_of_part(const std::string& text, size_t from, size_t longest) {
  if (text.size() - from <= longest) return text.size();
  const size_t limit = from + longest;
  for (const char* separators : {"\n", kSpace}) {
    const size_t at = text.find_last_of(separators, limit);
    if (at != std::string::npos && at > from) return at;
  }
  size_t at = limit;
  while (at > from + 1 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace

Sentences::Sentences(const TokenizerTrainer::Documents& next, size_t longest, bool split)
    : next_(next), longest_(longest), split_(split) {
  fill();
  rethrow();
}

void Sentences::Next() {
  waiting_.pop_front();
  fill();
}

void Sentences::rethrow() const {
  if (failure_) std::rethrow_exception(failure_);
}

void Sentences::fill() {
  try {
    std::string document;
    while (waiting_.empty() && next_(document)) {
      ++documents_;
      add(std::move(document));
      document.clear();
    }
  } catch (...) {
    failure_ = std::current_exception();
    waiting_.clear();
  }
}

void Sentences::add(std::string document) {
  std::replace(document.begin(), document.end(), '\0', ' ');
  std::string text = stripped(document);
  if (text.size() > longest_) {
    if (split_) return add_parts(text);
    ++left_out_;
  } else if (!text.empty()) {
    waiting_.push_back(std::move(text));
  }
}

void Sentences::add_parts(const std::string& document) {
  for (size_t from = 0; from < document.size();) {
    const size_t to = end_of_part(document, from, longest_);
    std::string part = stripped(document.substr(from, to - from));
    if (!part.empty()) waiting_.push_back(std::move(part));
    from = to;
  }
}

}  // namespace gamut::sentencepiece_plugin
