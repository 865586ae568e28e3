// Where a text can be cut so that its parts, encoded one by one, give the ids of the whole.
#pragma once

#include <sentencepiece_processor.h>

#include <bitset>
#include <map>
#include <string_view>

#include "model_facts.h"

namespace gamut::sentencepiece_plugin {

// A cut lies before a white-space byte. It is exact because
// - the normaliser reads from left to right by longest match, and no rule reads from the byte
//   before a cut into the white space, so both sides are read as they are in the whole;
// - the white space becomes the mark U+2581, and no piece has that mark behind its first
//   character, so no merge of BPE reaches over the cut, and merges on one side know nothing of the
//   other.
// Models for which this does not hold (unigram, whose sums of scores run over the whole text;
// pieces across words) have no cuts at all. What the two sides do at their own ends, such as
// dropping white space at the beginning of a text, is the encoder's to keep right: see TextEncoder.
class TextCuts {
 public:
  TextCuts(const ::sentencepiece::SentencePieceProcessor& model, const ModelFacts& facts);

  // A letter that may stand before any cut, in place of the text that was there.
  static constexpr char kGuard = 'a';

  // The last position, above 0, before which `text` may be cut; 0 when there is none. It depends on
  // nothing that could still follow the text. Positions below `searched` are passed over.
  size_t last(std::string_view text, size_t searched = 0) const;

 private:
  using Bytes = std::bitset<256>;
  struct Neighbours {
    Bytes before, after;  // with these, a rule reads over the white-space byte
  };
  void keep_marks_of_text(const Bytes& last_of_rules);

  std::map<unsigned char, Neighbours> spaces_;
};

}  // namespace gamut::sentencepiece_plugin
