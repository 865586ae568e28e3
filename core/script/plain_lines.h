// What a program writes for a terminal, as the lines that remain to be read in a file: a line that
// was written over keeps its last form, and control sequences go.
#pragma once

#include <string>
#include <string_view>

namespace gamut::script {

class PlainLines {
 public:
  // Takes the next piece, however it was cut; returns the lines that are complete by now.
  std::string add(std::string_view text);
  // What is left at the end, as a line of its own.
  std::string rest();

 private:
  enum class State { text, escape, sequence };
  void take(char c, std::string& lines);

  std::string line_;
  bool returned_ = false;  // after a carriage return: what comes next writes over the line
  State state_ = State::text;
};

}  // namespace gamut::script
