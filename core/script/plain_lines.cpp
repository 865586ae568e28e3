// One character at a time: a piece may end inside of a control sequence.
#include "script/plain_lines.h"

#include <utility>

namespace gamut::script {
namespace {
constexpr size_t kLongest = 1 << 20;  // of a line; a program may never end one
}

void PlainLines::take(char c, std::string& lines) {
  if (state_ == State::escape) {
    state_ = c == '[' ? State::sequence : State::text;
    return;
  }
  if (state_ == State::sequence) {
    if (c >= '@' && c <= '~') state_ = State::text;
    return;
  }
  if (c == '\x1b') {
    state_ = State::escape;
  } else if (c == '\r') {
    returned_ = true;
  } else if (c == '\n') {
    lines += line_ + '\n';
    line_.clear();
    returned_ = false;
  } else {
    if (std::exchange(returned_, false)) line_.clear();
    line_ += c;
  }
}

std::string PlainLines::add(std::string_view text) {
  std::string lines;
  for (const char c : text) take(c, lines);
  if (line_.size() > kLongest) lines += rest();
  return lines;
}

std::string PlainLines::rest() {
  std::string line = std::exchange(line_, {});
  if (!line.empty()) line += '\n';
  return line;
}

}  // namespace gamut::script
