// A tokenizer of audio with two codebooks that breaks one clause of its contract on demand. A frame
// is 8 samples at 800 Hz; its codes are its mean in 256 steps, and what is left of it in 256 finer
// ones.
#include <ATen/ATen.h>
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/identity.h>
#include <gamut/plugin.h>

#include <atomic>
#include <cstring>
#include <mutex>

namespace {

constexpr int64_t kHop = 8, kRate = 800, kCodes = 256, kBooks = 2;
constexpr double kCoarse = 128, kFine = 128 * 100;

// Of the fault that is asked for.
class Fault {
 public:
  explicit Fault(std::string name) : name_(std::move(name)) {}
  bool is(const char* name) const { return name_ == name; }

 private:
  std::string name_;
};

const gamut::Audio& audio_of(const gamut::RawData& data, const Fault& fault) {
  const auto* audio = std::get_if<gamut::Audio>(&data);
  GAMUT_CHECK(audio, "text was given to a tokenizer of audio");
  const auto& samples = audio->samples;
  GAMUT_CHECK(samples.defined() && samples.dim() == 2 && samples.scalar_type() == at::kFloat,
              "audio is float32 [1, samples]");
  GAMUT_CHECK(samples.size(0) == 1 || (fault.is("channels") && samples.size(0) > 1),
              "one channel is encoded, got ", samples.size(0));
  GAMUT_CHECK(audio->sample_rate == kRate || fault.is("rate"), "the sample rate is ", kRate);
  const bool finite = at::isfinite(samples).all().item<bool>();
  GAMUT_CHECK(finite || fault.is("not_finite"), "a sample is not finite");
  return *audio;
}

// float32 [1, n * kHop] -> int64 [2, n]
at::Tensor codes_of(const at::Tensor& samples, const Fault& fault) {
  const at::Tensor mean = samples.reshape({-1, kHop}).mean(1);
  const at::Tensor coarse = at::floor(mean * kCoarse);
  const at::Tensor fine = at::round((mean - coarse / kCoarse) * kFine);
  at::Tensor codes = at::stack({coarse + kCodes / 2, fine}).nan_to_num(300, 300, 300);
  if (!fault.is("not_finite")) codes = codes.clamp(0, kCodes - 1);
  return codes.to(at::kLong);
}

// int64 [rows, n] -> float32 [1, n * kHop]
at::Tensor samples_of(const at::Tensor& codes, const Fault& fault) {
  at::Tensor mean = (codes[0].to(at::kFloat) - kCodes / 2.0) / kCoarse;
  if (codes.size(0) > 1 && !fault.is("one_book")) mean = mean + codes[1].to(at::kFloat) / kFine;
  return mean.repeat_interleave(kHop).unsqueeze(0);
}

at::Tensor padded(const at::Tensor& samples) {
  return at::constant_pad_nd(samples, {0, (kHop - samples.size(1) % kHop) % kHop});
}

// What is held back lies in one place for all encoders, behind a lock: no data race, but wrong.
struct Shared {
  std::mutex mutex;
  at::Tensor rest = at::zeros({1, 0});
};

class Encoder final : public gamut::StreamEncoder {
 public:
  Encoder(const Fault& fault, Shared& shared)
      : fault_(fault), shared_(fault.is("shared") ? shared : own_) {}
  at::Tensor push(const gamut::RawData& piece) override {
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    const at::Tensor all =
        at::cat({shared_.rest, audio_of(piece, fault_).samples.slice(0, 0, 1)}, 1);
    const int64_t whole = all.size(1) / kHop * kHop;
    shared_.rest = all.slice(1, whole).clone();
    return codes_of(all.slice(1, 0, whole), fault_);
  }
  at::Tensor finish() override {
    const std::lock_guard<std::mutex> lock(shared_.mutex);
    const at::Tensor codes = codes_of(padded(shared_.rest), fault_);
    shared_.rest = at::zeros({1, 0});
    return codes;
  }

 private:
  const Fault& fault_;
  Shared own_;
  Shared& shared_;
};

class Decoder final : public gamut::StreamDecoder {
 public:
  explicit Decoder(const Fault& fault) : fault_(fault) {}
  at::Tensor push(const at::Tensor& codes) override {
    if (rows_ == 0) rows_ = codes.size(0);
    GAMUT_CHECK(codes.size(0) == rows_ || fault_.is("row_change"), "a piece of ", codes.size(0),
                " codebooks after one of ", rows_);
    at::Tensor samples = samples_of(codes, fault_);
    if (fault_.is("joints") && samples.size(1) > 0) samples.select(1, 0) += 1e-3;
    if (fault_.is("gaps") && samples.size(1) > 0) samples = samples.slice(1, 1);
    return samples;
  }
  at::Tensor finish() override { return at::zeros({1, 0}); }

 private:
  const Fault& fault_;
  int64_t rows_ = 0;
};

class Codec final : public gamut::Tokenizer,
                    public gamut::AudioCodec,
                    public gamut::CodeFiles,
                    public gamut::Identity {
 public:
  static gamut::OptionTable options() {
    return {gamut::option::string("fault", "what to break")
                .value("none")
                .one_of({"none",     "channels",    "rate",      "not_finite", "one_book",
                         "shared",   "row_change",  "joints",    "gaps",       "no_codec",
                         "hop",      "steps",       "samples",   "one_sample", "all_rows",
                         "identity", "file_length", "cut_files", "file_rate",  "decoded_rate"})};
  }
  static void* plugin_query(std::string_view id) {
    static int answer = 42;
    return id == "answer/1" ? &answer : nullptr;
  }
  Codec(const gamut::Options& options, gamut::Host&) : fault_(options.string("fault")) {}

  gamut::TokenizerInfo info() const override {
    gamut::TokenizerInfo info;
    info.vocab_size = kCodes;
    info.codebooks = kBooks;
    info.is_audio = true;
    info.sample_rate = kRate;
    info.frame_rate = static_cast<double>(kRate) / kHop;
    return info;
  }
  at::Tensor encode(const gamut::RawData& data) override {
    const at::Tensor samples = audio_of(data, fault_).samples.slice(0, 0, 1);
    if (fault_.is("one_sample") && samples.size(1) == 1) return at::zeros({kBooks, 0}, at::kLong);
    return codes_of(padded(samples), fault_);
  }
  gamut::RawData decode(const at::Tensor& codes) override {
    GAMUT_CHECK(codes.dim() == 2 && at::isIntegralType(codes.scalar_type(), false) &&
                    codes.size(0) >= 1 && codes.size(0) <= kBooks,
                "codes are integers [1 to ", kBooks, ", steps]");
    GAMUT_CHECK(codes.size(0) == kBooks || !fault_.is("all_rows"), "all codebooks are needed");
    GAMUT_CHECK(codes.numel() == 0 ||
                    (codes.min().item<int64_t>() >= 0 && codes.max().item<int64_t>() < kCodes),
                "a code is out of range");
    return gamut::Audio{samples_of(codes, fault_), fault_.is("decoded_rate") ? 44100 : kRate};
  }
  std::unique_ptr<gamut::StreamEncoder> new_encoder() override {
    return std::make_unique<Encoder>(fault_, shared_);
  }
  at::Tensor byte_counts(const at::Tensor&, const at::Tensor&) override { return {}; }

  int64_t channels() const override { return 1; }
  int64_t hop_length() const override { return fault_.is("hop") ? kHop * 2 : kHop; }
  int64_t steps(int64_t samples) const override {
    return fault_.is("steps") ? samples / kHop : (samples + kHop - 1) / kHop;
  }
  int64_t samples(int64_t steps) const override {
    return steps * kHop + (fault_.is("samples") && steps > 3 ? 1 : 0);
  }
  std::unique_ptr<gamut::StreamDecoder> new_decoder() override {
    return std::make_unique<Decoder>(fault_);
  }

  // The number of samples as int64, then the codes as bytes, frame by frame.
  std::string extension() const override { return ".faulty"; }
  gamut::CodeFile parse(std::string_view bytes) const override {
    int64_t samples = 0;
    GAMUT_CHECK(bytes.size() >= sizeof samples, "it is cut off within its header");
    std::memcpy(&samples, bytes.data(), sizeof samples);
    bytes.remove_prefix(sizeof samples);
    const auto wanted = static_cast<size_t>((samples + kHop - 1) / kHop * kBooks);
    GAMUT_CHECK(bytes.size() == wanted || fault_.is("cut_files"), "it has ", bytes.size(),
                " codes and should have ", wanted);
    const at::Tensor codes =
        at::empty({static_cast<int64_t>(bytes.size()) / kBooks, kBooks}, at::kByte);
    std::memcpy(codes.data_ptr(), bytes.data(), static_cast<size_t>(codes.numel()));
    return {codes.t().to(at::kLong), fault_.is("file_rate") ? 0 : kRate, samples, 1, {}};
  }
  gamut::Audio decode_file(std::string_view bytes) override {
    const auto file = parse(bytes);
    const at::Tensor samples = samples_of(file.codes, fault_);
    return {fault_.is("file_length") ? samples.repeat({1, 2}) : samples.slice(1, 0, file.samples),
            kRate};
  }
  std::string encode_file(const gamut::Audio& audio) override {
    const int64_t samples = audio.samples.size(1);
    const at::Tensor codes = encode(audio).t().to(at::kByte).contiguous();
    std::string bytes(sizeof samples, '\0');
    std::memcpy(bytes.data(), &samples, sizeof samples);
    return bytes.append(static_cast<const char*>(codes.const_data_ptr()),
                        static_cast<size_t>(codes.numel()));
  }

  std::map<std::string, std::string> identity() const override {
    static std::atomic<int> asked{0};
    return {{"steps", fault_.is("identity") ? std::to_string(++asked) : "256"}};
  }

  void* query(std::string_view id) override {
    if (id == gamut::AudioCodec::kId && !fault_.is("no_codec"))
      return static_cast<gamut::AudioCodec*>(this);
    if (id == gamut::CodeFiles::kId) return static_cast<gamut::CodeFiles*>(this);
    return id == gamut::Identity::kId ? static_cast<gamut::Identity*>(this) : nullptr;
  }

 private:
  Fault fault_;
  Shared shared_;
};

}  // namespace

GAMUT_TOKENIZER(Codec, "faulty_codec", "1.0.0", "Breaks its contract on demand")
