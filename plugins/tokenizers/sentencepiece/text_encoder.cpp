// A later part is encoded behind a letter, whose ids are dropped: without it the library would take
// the part for the beginning of a text, and drop its white space or add a dummy prefix.
#include "text_encoder.h"

#include <gamut/error.h>

namespace gamut::sentencepiece_plugin {

TextEncoder::TextEncoder(const ::sentencepiece::SentencePieceProcessor& model, const TextCuts& cuts)
    : model_(model), cuts_(cuts), guard_(model.EncodeAsIds(std::string(1, TextCuts::kGuard))) {}

void TextEncoder::push(std::string_view piece, std::vector<int>& ids) {
  for (; piece.size() > kBlock; piece.remove_prefix(kBlock)) take(piece.substr(0, kBlock), ids);
  take(piece, ids);
}

void TextEncoder::take(std::string_view piece, std::vector<int>& ids) {
  pending_ += piece;
  const size_t cut = cuts_.last(pending_, searched_);
  if (cut > 0) {
    encode(std::string_view(pending_).substr(0, cut), ids);
    pending_.erase(0, cut);
  }
  // The last byte was not looked at: what follows it decides whether it is a cut.
  searched_ = pending_.empty() ? 0 : pending_.size() - 1;
}

void TextEncoder::finish(std::string_view last, std::vector<int>& ids) {
  pending_ += last;
  encode(pending_, ids);
  pending_.clear();
  searched_ = 0;
}

// As long as no id came out, all there was is white space, which the library drops at the
// beginning.
void TextEncoder::encode(std::string_view text, std::vector<int>& ids) {
  std::vector<int> got;
  const std::string guarded = started_ ? TextCuts::kGuard + std::string(text) : std::string(text);
  const auto status = model_.Encode(guarded, &got);
  GAMUT_CHECK(status.ok(), "SentencePiece cannot encode this text: ", status.error_message());
  ids.insert(ids.end(), got.begin() + static_cast<ptrdiff_t>(started_ ? guard_.size() : 0),
             got.end());
  started_ = started_ || !got.empty();
}

}  // namespace gamut::sentencepiece_plugin
