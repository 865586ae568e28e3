// The contract of a tokenizer: round trips, ids in range, streaming, special ids, byte counts.
#include <random>

#include "plugin_host/conformance.h"
#include "plugin_host/conformance_tools.h"

namespace gamut::host {
namespace {

using namespace conformance;

// ---- what is encoded

std::string random_bytes(size_t count, std::mt19937& random) {
  std::string bytes(count, '\0');
  for (char& c : bytes) c = static_cast<char>(random() & 0xff);
  return bytes;
}

std::vector<std::string> texts() {
  std::mt19937 random(1);
  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  std::string prose;
  for (int i = 0; i < 200; ++i) prose += "The quick brown fox jumps over the lazy dog, again.\n";
  return {"a",
          " leading and  double spaces ",
          "line\n\ttab\r\n",
          "Zürich, naïve, 東京, Ελλάδα, العربية, 🙂👩‍👩‍👧",
          "\xff\xfe\xc0 broken UTF-8 \xe2\x82",
          std::string("nul\0inside", 10),
          every_byte,
          random_bytes(3000, random),
          prose};
}

// One second or so of two sines under noise; lengths that are no multiple of a frame.
std::vector<RawData> sounds(int64_t sample_rate) {
  std::vector<RawData> all;
  at::manual_seed(1);
  for (int64_t length : {sample_rate, sample_rate / 3 + 7, int64_t{1000}}) {
    const at::Tensor time = at::arange(length, at::kFloat) / static_cast<double>(sample_rate);
    const at::Tensor wave =
        at::sin(time * 1382.3) * 0.3 + at::sin(time * 4147.0) * 0.1 + at::randn({length}) * 0.02;
    all.emplace_back(Audio{wave.unsqueeze(0), sample_rate});
  }
  return all;
}

std::vector<RawData> inputs(const TokenizerInfo& info) {
  if (info.is_audio) return sounds(info.sample_rate);
  std::vector<RawData> all;
  for (auto& text : texts()) all.emplace_back(std::move(text));
  return all;
}

RawData empty_input(const TokenizerInfo& info) {
  if (info.is_audio) return Audio{at::zeros({1, 0}), info.sample_rate};
  return std::string();
}

int64_t length_of(const RawData& data) {
  if (const auto* audio = std::get_if<Audio>(&data)) return audio->samples.size(-1);
  return static_cast<int64_t>(std::get<std::string>(data).size());
}

RawData part(const RawData& data, int64_t from, int64_t to) {
  if (const auto* audio = std::get_if<Audio>(&data)) {
    return Audio{audio->samples.slice(-1, from, to), audio->sample_rate};
  }
  return std::get<std::string>(data).substr(from, to - from);
}

// A text as it can be shown in a line of output.
std::string shown(const RawData& data) {
  const auto* text = std::get_if<std::string>(&data);
  if (!text) return "audio of " + std::to_string(length_of(data)) + " samples";
  std::string line = "\"";
  for (unsigned char c : text->substr(0, 24)) {
    line += c >= ' ' && c < 127 ? std::string(1, c) : c10::str("\\", static_cast<int>(c));
  }
  return line + (text->size() > 24 ? "...\"" : "\"");
}

// ---- the checks

at::Tensor encode(Tokenizer& tokenizer, const TokenizerInfo& info, const RawData& data) {
  const at::Tensor codes = tokenizer.encode(data);
  GAMUT_CHECK(codes.defined() && codes.dim() == 2 && codes.size(0) == info.codebooks &&
                  codes.scalar_type() == at::kLong,
              "encode gives ",
              codes.defined() ? c10::str(codes.sizes(), " ", codes.scalar_type()) : "nothing",
              " for ", shown(data), "; right would be int64 [", info.codebooks, ", steps]");
  return codes;
}

std::string info_makes_sense(Tokenizer& tokenizer, const TokenizerInfo& info) {
  GAMUT_CHECK(info.vocab_size > 0 && info.codebooks > 0, "vocab_size is ", info.vocab_size,
              " and codebooks is ", info.codebooks, "; both must be positive");
  GAMUT_CHECK(info.is_audio == (info.sample_rate > 0) && info.is_audio == (info.frame_rate > 0),
              "sample_rate and frame_rate are positive for audio and 0 for text");
  for (const auto& [name, id] : info.special_ids) {
    GAMUT_CHECK(id >= 0 && id < info.vocab_size, "special id `", name, "` is ", id,
                ", outside of [0, ", info.vocab_size, ")");
  }
  return c10::str("vocabulary ", info.vocab_size, ", codebooks ", info.codebooks, ", special ids ",
                  info.special_ids.size());
}

std::string ids_in_range(Tokenizer& tokenizer, const TokenizerInfo& info) {
  int64_t count = 0;
  for (const auto& data : inputs(info)) {
    const at::Tensor codes = encode(tokenizer, info, data);
    count += codes.numel();
    if (codes.numel() == 0) continue;
    const int64_t low = codes.min().item<int64_t>(), high = codes.max().item<int64_t>();
    GAMUT_CHECK(low >= 0 && high < info.vocab_size, "ids from ", low, " to ", high, " for ",
                shown(data), "; the vocabulary is [0, ", info.vocab_size, ")");
  }
  return c10::str(count, " ids");
}

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

std::string text_round_trip(Tokenizer& tokenizer, const TokenizerInfo& info, const RawData& data) {
  const auto& text = std::get<std::string>(data);
  auto there_and_back = [&](const std::string& original) {
    return std::get<std::string>(tokenizer.decode(encode(tokenizer, info, original)));
  };
  std::string once = there_and_back(text);
  const bool repaired = !is_utf8(text), normalizes = tokenizer.query("text.normalizes/1");
  // What a broken text was repaired with may itself be normalised, once.
  if (repaired && normalizes) once = there_and_back(once);
  const bool differs = repaired || normalizes;
  const std::string expected = differs ? once : text;
  const std::string got = differs ? there_and_back(once) : once;
  GAMUT_CHECK(got == expected, "decode(encode(", shown(RawData(expected)), ")) gives ",
              shown(RawData(got)));
  return "";
}

std::string audio_round_trip(Tokenizer& tokenizer, const TokenizerInfo& info, const RawData& data) {
  const auto decoded = std::get<Audio>(tokenizer.decode(encode(tokenizer, info, data)));
  const auto hop = static_cast<double>(info.sample_rate) / info.frame_rate;
  const auto difference = static_cast<double>(decoded.samples.size(-1) - length_of(data));
  GAMUT_CHECK(decoded.sample_rate == info.sample_rate, "decode gives audio at ",
              decoded.sample_rate, " Hz, but info says ", info.sample_rate);
  GAMUT_CHECK(std::abs(difference) <= hop, "decode gives ", decoded.samples.size(-1),
              " samples for ", length_of(data), "; a frame has ", hop);
  GAMUT_CHECK(at::isfinite(decoded.samples).all().item<bool>(), "decoded audio is not finite");
  return "";
}

std::string round_trip(Tokenizer& tokenizer, const TokenizerInfo& info) {
  int64_t count = 0;
  for (const auto& data : inputs(info)) {
    info.is_audio ? audio_round_trip(tokenizer, info, data)
                  : text_round_trip(tokenizer, info, data);
    ++count;
  }
  return c10::str(count, info.is_audio ? " sounds" : " texts",
                  tokenizer.query("text.normalizes/1") ? ", up to normalisation" : "");
}

std::string empty_stays_empty(Tokenizer& tokenizer, const TokenizerInfo& info) {
  const at::Tensor codes = encode(tokenizer, info, empty_input(info));
  GAMUT_CHECK(codes.size(1) == 0, "an empty input gives ", codes.size(1), " steps");
  const RawData back = tokenizer.decode(at::zeros({info.codebooks, 0}, at::kLong));
  GAMUT_CHECK(length_of(back) == 0, "no codes decode to a length of ", length_of(back));
  return "";
}

// Pieces of random lengths, empty ones included; short ones cut UTF-8 sequences apart.
at::Tensor encode_in_pieces(Tokenizer& tokenizer, const RawData& data, std::mt19937& random) {
  auto encoder = tokenizer.new_encoder();
  GAMUT_CHECK(encoder, "new_encoder returned nothing");
  std::vector<at::Tensor> codes;
  const int64_t length = length_of(data), longest = std::max<int64_t>(3, length / 5);
  for (int64_t from = 0; from < length;) {
    const int64_t to = std::min<int64_t>(length, from + random() % longest);
    codes.push_back(encoder->push(part(data, from, to)));
    from = to;
  }
  codes.push_back(encoder->finish());
  return at::cat(codes, 1);
}

std::string streaming_equals_whole(Tokenizer& tokenizer, const TokenizerInfo& info) {
  std::mt19937 random(2);
  auto all = inputs(info);
  all.push_back(empty_input(info));
  for (const auto& data : all) {
    const at::Tensor whole = encode(tokenizer, info, data);
    for (int repeat = 0; repeat < 3; ++repeat) {
      GAMUT_CHECK(same_bits(encode_in_pieces(tokenizer, data, random), whole), "streaming ",
                  shown(data), " in pieces gives other codes than encode");
    }
  }
  return c10::str(all.size(), " inputs, 3 ways each");
}

at::Tensor column(const TokenizerInfo& info, int64_t id) {
  return at::full({info.codebooks, 1}, id, at::kLong);
}

std::string special_ids_are_silent(Tokenizer& tokenizer, const TokenizerInfo& info) {
  const RawData data = inputs(info).front();
  const at::Tensor codes = encode(tokenizer, info, data);
  const int64_t length = length_of(tokenizer.decode(codes));
  for (const auto& [name, id] : info.special_ids) {
    GAMUT_CHECK(length_of(tokenizer.decode(column(info, id))) == 0, "special id `", name,
                "` decodes to something");
    const auto around = tokenizer.decode(at::cat({column(info, id), codes, column(info, id)}, 1));
    GAMUT_CHECK(length_of(around) == length, "special id `", name,
                "` around a text changes what it decodes to");
  }
  return c10::str(info.special_ids.size(), " ids");
}

std::string byte_counts_add_up(Tokenizer& tokenizer, const TokenizerInfo& info) {
  const auto bos = info.special_ids.find("bos");
  const at::Tensor start = at::tensor({bos == info.special_ids.end() ? 0 : bos->second}, at::kLong);
  int64_t bytes = 0;
  for (const auto& data : inputs(info)) {
    const at::Tensor target = encode(tokenizer, info, data).flatten();
    const at::Tensor previous = at::cat({start, target.slice(0, 0, target.numel() - 1)});
    const at::Tensor counts = tokenizer.byte_counts(previous, target);
    GAMUT_CHECK(counts.defined() && counts.sizes() == target.sizes(),
                "byte_counts gives another shape than its target");
    const int64_t length = length_of(tokenizer.decode(target.unsqueeze(0)));
    GAMUT_CHECK(counts.sum().item<int64_t>() == length, "byte_counts of ", shown(data),
                " add up to ", counts.sum().item<int64_t>(), ", not to its ", length, " bytes");
    bytes += length;
  }
  for (const auto& [name, id] : info.special_ids) {
    const at::Tensor special = at::tensor({id}, at::kLong);
    GAMUT_CHECK(tokenizer.byte_counts(start, special).item<int64_t>() == 0, "special id `", name,
                "` counts as bytes");
  }
  return c10::str(bytes, " bytes");
}

std::string bad_input_is_refused(Tokenizer& tokenizer, const TokenizerInfo& info) {
  const RawData other =
      info.is_audio ? RawData(std::string("text")) : RawData(Audio{at::zeros({1, 100}), 16000});
  expect_refusal(info.is_audio ? "text" : "audio", [&] { tokenizer.encode(other); });
  if (info.is_audio) {
    expect_refusal("audio at twice the sample rate",
                   [&] { tokenizer.encode(Audio{at::zeros({1, 1000}), info.sample_rate * 2}); });
  }
  expect_refusal("codes of three dimensions",
                 [&] { tokenizer.decode(at::zeros({info.codebooks, 3, 2}, at::kLong)); });
  expect_refusal("codes with a row too many",
                 [&] { tokenizer.decode(at::zeros({info.codebooks + 1, 3}, at::kLong)); });
  expect_refusal("a negative id", [&] { tokenizer.decode(column(info, -1)); });
  return expect_refusal("an id as large as the vocabulary",
                        [&] { tokenizer.decode(column(info, info.vocab_size)); });
}

std::string repeats(const TokenizerMaker& make, const TokenizerInfo& info) {
  auto first = make(), second = make();
  for (const auto& data : inputs(info)) {
    const at::Tensor codes = encode(*first, info, data);
    GAMUT_CHECK(same_bits(codes, encode(*first, info, data)), "a second encode differs");
    GAMUT_CHECK(same_bits(codes, encode(*second, info, data)), "another instance differs");
  }
  return "";
}

}  // namespace

void check_tokenizer(const TokenizerMaker& make, ConformanceReport& report) {
  std::unique_ptr<Tokenizer> tokenizer;
  TokenizerInfo info;
  report.check("construction", [&] {
    tokenizer = make();
    GAMUT_CHECK(tokenizer, "the maker returned no tokenizer");
    info = tokenizer->info();
    return "";
  });
  if (!tokenizer) return;
  auto check = [&](const char* name, std::string (*test)(Tokenizer&, const TokenizerInfo&)) {
    report.check(name, [&] { return test(*tokenizer, info); });
  };
  check("info", info_makes_sense);
  check("ids in range", ids_in_range);
  check("round trip", round_trip);
  check("empty input", empty_stays_empty);
  check("streaming equals the whole", streaming_equals_whole);
  check("special ids decode to nothing", special_ids_are_silent);
  if (!info.is_audio) check("byte counts", byte_counts_add_up);
  check("bad input is refused", bad_input_is_refused);
  report.check("repeat runs are equal", [&] { return repeats(make, info); });
}

}  // namespace gamut::host
