#include "ecdc.h"

#include <gamut/error.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace gamut::encodec {
namespace {

using Json = nlohmann::json;

constexpr EcdcModel kModels[] = {
    {"encodec_24khz", 24000, 1, 320, 32, 0, 0, false},
    {"encodec_48khz", 48000, 2, 320, 16, 48000, 47520, true},
};
constexpr std::string_view kMagic = "ECDC";
constexpr int kBits = 10;  // of a code: both models have 1024
constexpr uint32_t kLongestHeader = 1 << 16;
// A header that claims more is wrong: a file of that length would have gigabytes.
constexpr int64_t kMostSamples = int64_t{1} << 40;

// The file from some byte on.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::string_view take(size_t count, const char* what) {
    GAMUT_CHECK(count <= bytes_.size() - at_, ".ecdc file: ", what, " at byte ", at_, " needs ",
                count, " bytes, and only ", bytes_.size() - at_, " are left");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint32_t big_endian(const char* what) {
    uint32_t value = 0;
    for (char c : take(4, what)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  size_t at() const { return at_; }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

Json read_header(Reader& reader) {
  GAMUT_CHECK(reader.take(4, "the mark") == kMagic, ".ecdc file: it does not begin with ECDC");
  const auto version = static_cast<unsigned char>(reader.take(1, "the version")[0]);
  GAMUT_CHECK(version == 0, ".ecdc file: version ", static_cast<int>(version),
              " at byte 4; only version 0 is known");
  const uint32_t length = reader.big_endian("the length of the header");
  GAMUT_CHECK(length <= kLongestHeader, ".ecdc file: the header at byte 9 claims ", length,
              " bytes; none is longer than ", kLongestHeader);
  const std::string_view text = reader.take(length, "the header");
  Json header = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  GAMUT_CHECK(header.is_object(), ".ecdc file: the header at byte 9 is no JSON object");
  return header;
}

int64_t whole_number(const Json& header, const char* key, int64_t least, int64_t most) {
  const auto found = header.find(key);
  GAMUT_CHECK(found != header.end() && found->is_number_integer(),
              ".ecdc file: the header has no "
              "whole number `",
              key, "`");
  // Beyond int64 it is unsigned, or refused by the parser.
  const bool fits =
      !found->is_number_unsigned() || found->get<uint64_t>() <= static_cast<uint64_t>(most);
  const int64_t value = fits ? found->get<int64_t>() : most;
  GAMUT_CHECK(fits && value >= least && value <= most, ".ecdc file: `", key, "` is ", found->dump(),
              "; it must be from ", least, " to ", most);
  return value;
}

void read_fields(const Json& header, EcdcFile& file) {
  const auto name = header.find("m");
  GAMUT_CHECK(name != header.end() && name->is_string(),
              ".ecdc file: the header has no name of a model, `m`");
  file.model = find_ecdc_model(name->get_ref<const std::string&>());
  GAMUT_CHECK(file.model, ".ecdc file: it was made by the model ", name->dump(),
              "; known are encodec_24khz and encodec_48khz");
  file.samples = whole_number(header, "al", 0, kMostSamples);
  file.codebooks = whole_number(header, "nc", 1, file.model->codebooks);
  const auto coded = header.find("lm");
  GAMUT_CHECK(coded != header.end() && coded->is_boolean(),
              ".ecdc file: the header does not say whether it is entropy coded, `lm`");
  GAMUT_CHECK(
      !coded->get<bool>(),
      ".ecdc file: it is entropy coded (`lm` is true), which cannot be read, since it takes "
      "the probabilities of the authors' language model to the last bit; write it with "
      "their program without --lm");
}

std::vector<uint16_t> unpack(std::string_view bytes, size_t count) {
  std::vector<uint16_t> codes(count);
  uint32_t bits = 0;
  int held = 0;
  size_t at = 0;
  for (uint16_t& code : codes) {
    for (; held < kBits; held += 8)
      bits |= uint32_t{static_cast<unsigned char>(bytes[at++])} << held;
    code = bits & ((1 << kBits) - 1);
    bits >>= kBits;
    held -= kBits;
  }
  return codes;
}

void pack(const std::vector<uint16_t>& codes, std::string& bytes) {
  uint32_t bits = 0;
  int held = 0;
  for (uint16_t code : codes) {
    bits |= uint32_t{code} << held;
    for (held += kBits; held >= 8; held -= 8, bits >>= 8) bytes += static_cast<char>(bits & 0xff);
  }
  if (held > 0) bytes += static_cast<char>(bits);
}

EcdcSegment read_segment(Reader& reader, const EcdcFile& file, int64_t samples) {
  EcdcSegment segment;
  if (file.model->has_scales) {
    const size_t at = reader.at();
    const uint32_t bits = reader.big_endian("the scale of a segment");
    std::memcpy(&segment.scale, &bits, sizeof(bits));
    GAMUT_CHECK(std::isfinite(segment.scale) && segment.scale >= 0,
                ".ecdc file: the scale of a segment at byte ", at, " is ", segment.scale);
  }
  segment.frames = (samples + file.model->hop_length - 1) / file.model->hop_length;
  const auto count = static_cast<size_t>(segment.frames * file.codebooks);
  segment.codes = unpack(reader.take((count * kBits + 7) / 8, "the codes of a segment"), count);
  return segment;
}

std::string header_of(const EcdcFile& file) {
  // As json.dumps of Python writes it.
  return c10::str("{\"m\": \"", file.model->name, "\", \"al\": ", file.samples,
                  ", \"nc\": ", file.codebooks, ", \"lm\": false}");
}

void append_big_endian(uint32_t value, std::string& bytes) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
}

}  // namespace

const EcdcModel* find_ecdc_model(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kModels), std::end(kModels),
                   [&](const EcdcModel& model) { return model.name == name; });
  return found == std::end(kModels) ? nullptr : found;
}

EcdcFile parse_ecdc(std::string_view bytes) {
  Reader reader(bytes);
  EcdcFile file;
  read_fields(read_header(reader), file);
  const int64_t longest = file.model->segment > 0 ? file.model->segment : file.samples;
  const int64_t stride = file.model->segment > 0 ? file.model->segment_stride : file.samples;
  for (int64_t from = 0; from < file.samples; from += stride) {
    file.segments.push_back(read_segment(reader, file, std::min(longest, file.samples - from)));
  }
  GAMUT_CHECK(reader.at_end(), ".ecdc file: the audio ends at byte ", reader.at(),
              ", but the file goes on");
  return file;
}

std::string write_ecdc(const EcdcFile& file) {
  std::string bytes(kMagic);
  bytes += '\0';
  const std::string header = header_of(file);
  append_big_endian(static_cast<uint32_t>(header.size()), bytes);
  bytes += header;
  for (const auto& segment : file.segments) {
    if (file.model->has_scales) {
      uint32_t bits = 0;
      std::memcpy(&bits, &segment.scale, sizeof(bits));
      append_big_endian(bits, bytes);
    }
    pack(segment.codes, bytes);
  }
  return bytes;
}

}  // namespace gamut::encodec
