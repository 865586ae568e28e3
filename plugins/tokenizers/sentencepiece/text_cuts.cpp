// The rules lie in a Darts double array (Aoe 1989): unit i has a label, and child c of unit i is
// unit i ^ offset(i) ^ c where that one's label is c.
#include "text_cuts.h"

#include <cstring>
#include <iterator>
#include <string>
#include <vector>

namespace gamut::sentencepiece_plugin {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581, what white space becomes

unsigned char byte_of(char c) {
  return static_cast<unsigned char>(c);
}

class Rules {
 public:
  // Only what lies within the units is followed, so damaged rules do no harm.
  explicit Rules(std::string_view charsmap) {
    uint32_t size = 0;
    if (charsmap.size() < sizeof size) return;
    std::memcpy(&size, charsmap.data(), sizeof size);
    charsmap.remove_prefix(sizeof size);
    if (size > charsmap.size()) return;
    units_.resize(size / sizeof(uint32_t));
    std::memcpy(units_.data(), charsmap.data(), units_.size() * sizeof(uint32_t));
    replacements_ = charsmap.substr(size);
  }

  bool some_make(std::string_view text) const {
    return replacements_.find(text) != std::string_view::npos;
  }

  // Calls visit(previous byte, byte, whether a rule ends here) for each byte of each rule; the
  // first has -1 before it. Rules that share an ending share the calls.
  template <class Visit>
  void for_each_byte(Visit visit) const {
    if (units_.empty()) return;
    std::vector<bool> seen(units_.size());
    std::vector<uint32_t> open = {0};
    while (!open.empty()) {
      const uint32_t at = open.back();
      open.pop_back();
      const uint32_t base = at ^ offset(units_[at]);
      for (uint32_t byte = 1; byte < 256; ++byte) {
        const uint32_t child = base ^ byte;
        if (child >= units_.size() || label(units_[child]) != byte) continue;
        visit(at == 0 ? -1 : static_cast<int>(label(units_[at])), static_cast<int>(byte),
              (units_[child] >> 8 & 1) != 0);
        if (!seen[child]) open.push_back(child);
        seen[child] = true;
      }
    }
  }

 private:
  static uint32_t label(uint32_t unit) { return unit & (0x80000000u | 0xffu); }
  static uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

  std::vector<uint32_t> units_;
  std::string_view replacements_;  // each ends with NUL
};

bool can_cut(const ::sentencepiece::SentencePieceProcessor& model, const ModelFacts& facts) {
  const bool local = facts.type == ModelType::bpe || facts.type == ModelType::character;
  if (!local || facts.treat_whitespace_as_suffix || !facts.escape_whitespaces) return false;
  // Neighbouring unknown characters make one id, which must not reach over a cut.
  if (!facts.byte_fallback && model.PieceToId(kMark) == model.unk_id()) return false;
  for (int id = 0; id < model.GetPieceSize(); ++id) {
    const std::string& piece = model.IdToPiece(id);
    if (piece.find(kMark, 1) != std::string::npos) return false;
  }
  return true;
}

// Whether a mark that stands in the text itself would be lost in front of a cut: with the white
// space at the end of a part goes also such a mark, which stays within the whole. Rules that take
// it for white space anyway make no difference of it.
bool drops_marks(const ::sentencepiece::SentencePieceProcessor& model, const ModelFacts& facts) {
  const std::string marked = "a " + std::string(kMark) + "a";
  return facts.remove_extra_whitespaces && model.EncodeAsIds(marked) != model.EncodeAsIds("a a");
}

}  // namespace

TextCuts::TextCuts(const ::sentencepiece::SentencePieceProcessor& model, const ModelFacts& facts) {
  if (!can_cut(model, facts)) return;
  const auto expected = model.EncodeAsIds("a a");
  for (const char space : {' ', '\n', '\t', '\r'}) {
    const std::string text = {kGuard, space, kGuard};
    if (model.EncodeAsIds(text) == expected) spaces_[byte_of(space)] = {};
  }
  for (int id = 0; id < model.GetPieceSize(); ++id) {  // some pieces are matched before the rules
    for (const char c : model.IdToPiece(id)) spaces_.erase(byte_of(c));
  }
  const Rules rules(facts.charsmap);
  Bytes last_of_rules;
  rules.for_each_byte([&](int previous, int byte, bool ends_rule) {
    if (ends_rule) last_of_rules.set(byte);
    if (previous < 0) return;
    const auto before_space = spaces_.find(static_cast<unsigned char>(byte));
    if (before_space != spaces_.end()) before_space->second.before.set(previous);
    const auto space = spaces_.find(static_cast<unsigned char>(previous));
    if (space != spaces_.end()) space->second.after.set(byte);
  });
  if (drops_marks(model, facts) || rules.some_make(kMark)) keep_marks_of_text(last_of_rules);
  for (auto it = spaces_.begin(); it != spaces_.end();) {
    it = it->second.before[byte_of(kGuard)] ? spaces_.erase(it) : std::next(it);
  }
}

// Cuts then stand only behind printable ASCII that no rule changes, at least at its end.
void TextCuts::keep_marks_of_text(const Bytes& last_of_rules) {
  for (auto& [space, neighbours] : spaces_) {
    for (size_t byte = 0; byte < 256; ++byte) {
      if (byte <= ' ' || byte >= 127 || last_of_rules[byte]) neighbours.before.set(byte);
    }
  }
}

size_t TextCuts::last(std::string_view text, size_t searched) const {
  if (spaces_.empty() || text.size() < 2) return 0;
  for (size_t at = text.size() - 2; at > 0 && at >= searched; --at) {
    const auto found = spaces_.find(byte_of(text[at]));
    if (found == spaces_.end()) continue;
    const auto& [before, after] = found->second;
    if (!before[byte_of(text[at - 1])] && !after[byte_of(text[at + 1])]) return at;
  }
  return 0;
}

}  // namespace gamut::sentencepiece_plugin
