// Checks of tokenizers of text: round trips and the bytes behind bits per byte.
#include "plugin_host/conformance_tokenizer.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host::conformance {
namespace {

// Text is UTF-8; bytes that are not may be repaired, once.
bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    const int more = lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (more < 0 || lead > 0xf4) return false;
    for (int k = 0; k < more; ++k, ++i) {
      if (i >= text.size() || (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

void text_round_trip(const Subject& subject, const RawData& data) {
  const auto& text = std::get<std::string>(data);
  auto there_and_back = [&](const std::string& original) {
    return std::get<std::string>(subject.tokenizer.decode(encode(subject, original)));
  };
  std::string once = there_and_back(text);
  const bool repaired = !is_utf8(text), normalizes = subject.tokenizer.query("text.normalizes/1");
  // What a broken text was repaired with may itself be normalised, once.
  if (repaired && normalizes) once = there_and_back(once);
  const bool differs = repaired || normalizes;
  const std::string expected = differs ? once : text;
  const std::string got = differs ? there_and_back(once) : once;
  GAMUT_CHECK(got == expected, "decode(encode(", shown(RawData(expected)), ")) gives ",
              shown(RawData(got)));
}

std::string byte_counts_add_up(const Subject& subject) {
  const auto bos = subject.info.special_ids.find("bos");
  const at::Tensor start =
      at::tensor({bos == subject.info.special_ids.end() ? 0 : bos->second}, at::kLong);
  int64_t bytes = 0;
  for (const auto& data : inputs(subject)) {
    const at::Tensor target = encode(subject, data).flatten();
    const at::Tensor previous = at::cat({start, target.slice(0, 0, target.numel() - 1)});
    const at::Tensor counts = subject.tokenizer.byte_counts(previous, target);
    GAMUT_CHECK(counts.defined() && counts.sizes() == target.sizes(),
                "byte_counts gives another shape than its target");
    const int64_t length = length_of(subject.tokenizer.decode(target.unsqueeze(0)));
    GAMUT_CHECK(counts.sum().item<int64_t>() == length, "byte_counts of ", shown(data),
                " add up to ", counts.sum().item<int64_t>(), ", not to its ", length, " bytes");
    bytes += length;
  }
  for (const auto& [name, id] : subject.info.special_ids) {
    const at::Tensor special = at::tensor({id}, at::kLong);
    GAMUT_CHECK(subject.tokenizer.byte_counts(start, special).item<int64_t>() == 0, "special id `",
                name, "` counts as bytes");
  }
  return c10::str(bytes, " bytes");
}

std::string round_trip(const Subject& subject) {
  const auto all = inputs(subject);
  for (const auto& data : all) text_round_trip(subject, data);
  return c10::str(all.size(), " texts",
                  subject.tokenizer.query("text.normalizes/1") ? ", up to normalisation" : "");
}

}  // namespace

void check_text(const Subject& subject, ConformanceReport& report) {
  report.check("round trip", [&] { return round_trip(subject); });
  report.check("byte counts", [&] { return byte_counts_add_up(subject); });
}

}  // namespace gamut::host::conformance
