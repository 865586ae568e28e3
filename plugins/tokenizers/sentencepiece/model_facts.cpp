// Reads the wire format of protocol buffers, as far as two messages of the model file need it.
#include "model_facts.h"

#include <gamut/error.h>

namespace gamut::sentencepiece_plugin {
namespace {

struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // of an integer
  std::string_view bytes;  // of a string, or of an embedded message
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}

  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    field = {key >> 3, 0, {}};
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        damaged();
    }
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) damaged();
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  [[noreturn]] void damaged() const {
    throw Error(c10::str("it is no SentencePiece model: a field makes no sense, or is cut short, ",
                         "at byte ", at_));
  }

  std::string_view bytes_;
  size_t at_ = 0;
};

void read_trainer_spec(std::string_view message, ModelFacts& facts) {
  FieldReader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number == 3) facts.type = static_cast<ModelType>(field.value);
    if (field.number == 24) facts.treat_whitespace_as_suffix = field.value != 0;
    if (field.number == 35) facts.byte_fallback = field.value != 0;
  }
}

void read_normalizer_spec(std::string_view message, ModelFacts& facts) {
  FieldReader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number == 2) facts.charsmap = std::string(field.bytes);
    if (field.number == 4) facts.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) facts.escape_whitespaces = field.value != 0;
  }
}

}  // namespace

ModelFacts read_facts(std::string_view model) {
  ModelFacts facts;
  FieldReader reader(model);
  for (Field field; reader.next(field);) {
    if (field.number == 2) read_trainer_spec(field.bytes, facts);
    if (field.number == 3) read_normalizer_spec(field.bytes, facts);
  }
  return facts;
}

}  // namespace gamut::sentencepiece_plugin
