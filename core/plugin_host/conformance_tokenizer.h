// What the files of the tokenizers' suite share.
#pragma once

#include <gamut/codec.h>
#include <gamut/tokenizer.h>

#include <random>
#include <string>
#include <vector>

#include "plugin_host/conformance.h"

namespace gamut::host::conformance {

// A tokenizer under test, with what it says of itself.
struct Subject {
  explicit Subject(Tokenizer& tokenizer)
      : tokenizer(tokenizer),
        info(tokenizer.info()),
        codec(static_cast<AudioCodec*>(tokenizer.query(AudioCodec::kId))) {}

  int64_t channels() const { return codec ? codec->channels() : 1; }

  Tokenizer& tokenizer;
  TokenizerInfo info;
  AudioCodec* codec;  // null for text
};

// What is encoded: texts, or sounds of lengths that are no multiple of a frame.
std::vector<RawData> inputs(const Subject& subject);
// float32 [channels, length] of two sines under noise, the same each time.
Audio sound(const Subject& subject, int64_t length);
RawData empty_input(const Subject& subject);
int64_t length_of(const RawData& data);  // bytes or samples
RawData part(const RawData& data, int64_t from, int64_t to);
std::string shown(const RawData& data);  // for a line of output

// The codes, once their shape and type are found right.
at::Tensor encode(const Subject& subject, const RawData& data);
// In pieces of random lengths, empty ones included; short ones cut UTF-8 sequences apart.
at::Tensor encode_in_pieces(Tokenizer& tokenizer, const RawData& data, std::mt19937& random);
// One column of an id.
at::Tensor column(const TokenizerInfo& info, int64_t id);

// The checks of one kind of data, each a line of the report.
void check_text(const Subject& subject, ConformanceReport& report);
void check_audio(const Subject& subject, ConformanceReport& report);

}  // namespace gamut::host::conformance
