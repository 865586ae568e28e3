// The contract of a tokenizer, as far as text and audio share it: ids in range, streaming, special
// ids, refusals, threads. conformance_text.cpp and conformance_audio.cpp have the rest.
#include "plugin_host/conformance_tokenizer.h"

#include <gamut/identity.h>

#include <atomic>
#include <exception>
#include <thread>

#include "plugin_host/conformance_tools.h"

namespace gamut::host {
namespace conformance {

// ---- what is encoded

namespace {

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

}  // namespace

Audio sound(const Subject& subject, int64_t length) {
  const auto rate = static_cast<double>(subject.info.sample_rate);
  const at::Tensor time = at::arange(length, at::kFloat) / rate;
  const at::Tensor wave = at::sin(time * 1382.3) * 0.3 + at::sin(time * 4147.0) * 0.1;
  at::manual_seed(1);
  return {wave + at::randn({subject.channels(), length}) * 0.02, subject.info.sample_rate};
}

std::vector<RawData> inputs(const Subject& subject) {
  std::vector<RawData> all;
  if (subject.info.is_audio) {
    const int64_t rate = subject.info.sample_rate;
    for (const int64_t length : {rate, rate / 3 + 7, int64_t{1000}}) {
      all.emplace_back(sound(subject, length));
    }
  } else {
    for (auto& text : texts()) all.emplace_back(std::move(text));
  }
  return all;
}

RawData empty_input(const Subject& subject) {
  if (subject.info.is_audio) return sound(subject, 0);
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

std::string shown(const RawData& data) {
  const auto* text = std::get_if<std::string>(&data);
  if (!text) return "audio of " + std::to_string(length_of(data)) + " samples";
  std::string line = "\"";
  for (unsigned char c : text->substr(0, 24)) {
    line += c >= ' ' && c < 127 ? std::string(1, c) : c10::str("\\", static_cast<int>(c));
  }
  return line + (text->size() > 24 ? "...\"" : "\"");
}

at::Tensor encode(const Subject& subject, const RawData& data) {
  const at::Tensor codes = subject.tokenizer.encode(data);
  GAMUT_CHECK(codes.defined() && codes.dim() == 2 && codes.size(0) == subject.info.codebooks &&
                  codes.scalar_type() == at::kLong,
              "encode gives ",
              codes.defined() ? c10::str(codes.sizes(), " ", codes.scalar_type()) : "nothing",
              " for ", shown(data), "; right would be int64 [", subject.info.codebooks, ", steps]");
  return codes;
}

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

at::Tensor column(const TokenizerInfo& info, int64_t id) {
  return at::full({info.codebooks, 1}, id, at::kLong);
}

// ---- the checks

namespace {

std::string info_makes_sense(const Subject& subject) {
  const auto& info = subject.info;
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

std::string ids_in_range(const Subject& subject) {
  int64_t count = 0;
  for (const auto& data : inputs(subject)) {
    const at::Tensor codes = encode(subject, data);
    count += codes.numel();
    if (codes.numel() == 0) continue;
    const int64_t low = codes.min().item<int64_t>(), high = codes.max().item<int64_t>();
    GAMUT_CHECK(low >= 0 && high < subject.info.vocab_size, "ids from ", low, " to ", high, " for ",
                shown(data), "; the vocabulary is [0, ", subject.info.vocab_size, ")");
  }
  return c10::str(count, " ids");
}

std::string empty_stays_empty(const Subject& subject) {
  const at::Tensor codes = encode(subject, empty_input(subject));
  GAMUT_CHECK(codes.size(1) == 0, "an empty input gives ", codes.size(1), " steps");
  const RawData back = subject.tokenizer.decode(at::zeros({subject.info.codebooks, 0}, at::kLong));
  GAMUT_CHECK(length_of(back) == 0, "no codes decode to a length of ", length_of(back));
  return "";
}

std::string streaming_equals_whole(const Subject& subject) {
  std::mt19937 random(2);
  auto all = inputs(subject);
  all.push_back(empty_input(subject));
  for (const auto& data : all) {
    const at::Tensor whole = encode(subject, data);
    for (int repeat = 0; repeat < 3; ++repeat) {
      GAMUT_CHECK(same_bits(encode_in_pieces(subject.tokenizer, data, random), whole), "streaming ",
                  shown(data), " in pieces gives other codes than encode");
    }
  }
  return c10::str(all.size(), " inputs, 3 ways each");
}

std::string special_ids_are_silent(const Subject& subject) {
  const auto& info = subject.info;
  const RawData data = inputs(subject).front();
  const at::Tensor codes = encode(subject, data);
  const int64_t length = length_of(subject.tokenizer.decode(codes));
  for (const auto& [name, id] : info.special_ids) {
    GAMUT_CHECK(length_of(subject.tokenizer.decode(column(info, id))) == 0, "special id `", name,
                "` decodes to something");
    const at::Tensor around = at::cat({column(info, id), codes, column(info, id)}, 1);
    GAMUT_CHECK(length_of(subject.tokenizer.decode(around)) == length, "special id `", name,
                "` around a text changes what it decodes to");
  }
  return c10::str(info.special_ids.size(), " ids");
}

std::string bad_input_is_refused(const Subject& subject) {
  const auto& info = subject.info;
  auto& tokenizer = subject.tokenizer;
  const RawData other =
      info.is_audio ? RawData(std::string("text")) : RawData(Audio{at::zeros({1, 100}), 16000});
  const char* name = info.is_audio ? "text" : "audio";
  expect_refusal(name, [&] { tokenizer.encode(other); });
  expect_refusal(c10::str(name, " pushed to a stream"),
                 [&] { tokenizer.new_encoder()->push(other); });
  expect_refusal("codes of three dimensions",
                 [&] { tokenizer.decode(at::zeros({info.codebooks, 3, 2}, at::kLong)); });
  // A codec may decode more codebooks than it was asked to encode, but not any number.
  const int64_t rows = info.codebooks + (info.is_audio ? 64 : 1);
  expect_refusal(c10::str("codes of ", rows, " rows"),
                 [&] { tokenizer.decode(at::zeros({rows, 3}, at::kLong)); });
  expect_refusal("codes that are no integers",
                 [&] { tokenizer.decode(at::zeros({info.codebooks, 3})); });
  expect_refusal("a negative id", [&] { tokenizer.decode(column(info, -1)); });
  return expect_refusal("an id as large as the vocabulary",
                        [&] { tokenizer.decode(column(info, info.vocab_size)); });
}

std::string repeats(const Subject& first, const TokenizerMaker& make) {
  const auto made = make();
  const Subject second(*made);
  for (const auto& data : inputs(first)) {
    const at::Tensor codes = encode(first, data);
    GAMUT_CHECK(same_bits(codes, encode(first, data)), "a second encode differs");
    GAMUT_CHECK(same_bits(codes, encode(second, data)), "another instance differs");
  }
  return "";
}

// Two streams fed in turn: what one holds back is its own.
void streams_are_independent(const Subject& subject) {
  const auto all = inputs(subject);
  const RawData data[] = {all.back(), all[1]};
  std::unique_ptr<StreamEncoder> encoders[] = {subject.tokenizer.new_encoder(),
                                               subject.tokenizer.new_encoder()};
  std::vector<at::Tensor> codes[2];
  constexpr int64_t kPieces = 7;
  for (int64_t piece = 0; piece < kPieces; ++piece) {
    for (int i = 0; i < 2; ++i) {
      const int64_t length = length_of(data[i]);
      codes[i].push_back(encoders[i]->push(
          part(data[i], length * piece / kPieces, length * (piece + 1) / kPieces)));
    }
  }
  for (int i = 0; i < 2; ++i) {
    codes[i].push_back(encoders[i]->finish());
    GAMUT_CHECK(same_bits(at::cat(codes[i], 1), encode(subject, data[i])),
                "two encoders that are fed in turn give other codes than one");
  }
}

// Several encoders and decoders of one tokenizer at once, as the preparation of data has them.
std::string threads_do_not_disturb(const Subject& subject) {
  streams_are_independent(subject);
  constexpr int kThreads = 3, kRepeats = 3;
  const RawData data = inputs(subject).back();
  const at::Tensor expected = encode(subject, data);
  std::vector<std::exception_ptr> failures(kThreads);
  std::atomic<int> waiting{kThreads};
  const auto work = [&](int number) {
    try {
      std::mt19937 random(static_cast<unsigned>(number));
      for (--waiting; waiting > 0;) std::this_thread::yield();
      for (int repeat = 0; repeat < kRepeats; ++repeat) {
        const at::Tensor codes = encode_in_pieces(subject.tokenizer, data, random);
        GAMUT_CHECK(same_bits(codes, expected), "with ", kThreads,
                    " encoders in as many threads, one gives other codes");
        subject.tokenizer.decode(codes);
      }
    } catch (...) {
      failures[static_cast<size_t>(number)] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return c10::str(kThreads, " encoders at once");
}

std::string identity_is_stable(const Subject& subject, const TokenizerMaker& make) {
  const auto identity_of = [](Tokenizer& tokenizer) {
    auto* found = static_cast<Identity*>(tokenizer.query(Identity::kId));
    return found ? found->identity() : std::map<std::string, std::string>{};
  };
  const auto first = identity_of(subject.tokenizer);
  for (const auto& [name, value] : first) {
    GAMUT_CHECK(!name.empty() && !value.empty(), "`", name, "` of the identity is `", value, "`");
  }
  GAMUT_CHECK(first == identity_of(subject.tokenizer), "asked twice, it is another identity");
  GAMUT_CHECK(first == identity_of(*make()), "another instance has another identity");
  return first.empty() ? "none" : c10::str(first.size(), " entries");
}

}  // namespace
}  // namespace conformance

void check_tokenizer(const TokenizerMaker& make, ConformanceReport& report) {
  using namespace conformance;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Subject> subject;
  report.check("construction", [&] {
    tokenizer = make();
    GAMUT_CHECK(tokenizer, "the maker returned no tokenizer");
    subject = std::make_unique<Subject>(*tokenizer);
    return "";
  });
  if (!subject) return;
  auto check = [&](const char* name, std::string (*test)(const Subject&)) {
    report.check(name, [&] { return test(*subject); });
  };
  check("info", info_makes_sense);
  check("ids in range", ids_in_range);
  check("empty input", empty_stays_empty);
  check("streaming equals the whole", streaming_equals_whole);
  check("special ids decode to nothing", special_ids_are_silent);
  subject->info.is_audio ? check_audio(*subject, report) : check_text(*subject, report);
  check("bad input is refused", bad_input_is_refused);
  check("several at once", threads_do_not_disturb);
  report.check("identity", [&] { return identity_is_stable(*subject, make); });
  report.check("repeat runs are equal", [&] { return repeats(*subject, make); });
}

}  // namespace gamut::host
