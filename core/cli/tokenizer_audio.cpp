// Audio and codes: the codec's own files, and codes shards.
#include <ATen/ATen.h>
#include <gamut/code_files.h>
#include <gamut/codec.h>
#include <gamut/error.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "cli/tokenizer_files.h"
#include "data/audio/reader.h"
#include "data/audio/writer.h"
#include "data/codes/decode.h"
#include "data/codes/set.h"
#include "data/codes/writer.h"
#include "files/file.h"
#include "files/hash.h"
#include "telemetry/progress.h"

namespace gamut::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kShardEnding = ".safetensors";

CodeFiles* code_files_of(const TokenizerJob& job) {
  return static_cast<CodeFiles*>(job.tokenizer.query(CodeFiles::kId));
}

AudioCodec& codec_of(const TokenizerJob& job) {
  void* found = job.tokenizer.query(AudioCodec::kId);
  GAMUT_CHECK(found, "the tokenizer `", job.record.name,
              "` does not say how its codes and samples ", "relate: it lacks the capability ",
              AudioCodec::kId);
  return *static_cast<AudioCodec*>(found);
}

// Whether `path` is the codec's own kind of file rather than a codes shard, by its ending.
bool is_code_file(const TokenizerJob& job, const fs::path& path) {
  if (path.extension() == kShardEnding) return false;
  const auto* files = code_files_of(job);
  const std::string own = files ? files->extension() : "";
  GAMUT_CHECK(!own.empty() && path.extension() == own, "`", path.string(), "` should end in ",
              own.empty() ? "" : own + " (the codec's own files) or ", kShardEnding,
              " (a codes shard)");
  return true;
}

std::string_view bytes_of(const files::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

// A bar over seconds of audio, where they are known and enough to wait for.
class AudioProgress {
 public:
  explicit AudioProgress(double seconds) {
    constexpr double kWorthShowing = 5;
    telemetry::ProgressPlan plan;
    plan.total_steps = static_cast<int64_t>(seconds);
    plan.unit = "s of audio";
    if (seconds >= kWorthShowing) {
      progress_.emplace(plan, telemetry::ProgressOutput::standard_error());
    }
  }
  void update(int64_t seconds) {
    telemetry::ProgressUpdate update;
    update.step = seconds;
    if (progress_) progress_->update(update);
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  std::optional<telemetry::Progress> progress_;
};

double seconds_of(int64_t samples, int64_t sample_rate) {
  return static_cast<double>(samples) / static_cast<double>(sample_rate);
}

void write_code_file(const TokenizerJob& job, CodeFiles& files, int64_t rate, int64_t channels) {
  const Audio audio = data::read_audio(job.from, {rate, channels});
  const std::string bytes = files.encode_file(audio);
  files::AtomicFile file(job.to);
  file.file().write(bytes.data(), bytes.size());
  file.commit();
  std::fprintf(stderr, "gamut: %.2f s of audio became %zu bytes\n",
               seconds_of(audio.samples.size(1), rate), bytes.size());
}

// The reader's audio as codes [codebooks, frames].
at::Tensor encode_all(const TokenizerJob& job, data::AudioReader& reader) {
  const auto encoder = job.tokenizer.new_encoder();
  AudioProgress progress(seconds_of(reader.samples_claimed(), reader.file().sample_rate));
  std::vector<at::Tensor> codes;
  int64_t samples = 0;
  for (at::Tensor piece = reader.read(); piece.size(1) > 0; piece = reader.read()) {
    codes.push_back(encoder->push(Audio{piece, reader.sample_rate()}));
    samples += piece.size(1);
    progress.update(samples / reader.sample_rate());
  }
  codes.push_back(encoder->finish());
  progress.finish();
  return at::cat(codes, 1);
}

// A folder for what becomes one file, gone at the end whatever happens.
struct WorkFolder {
  explicit WorkFolder(const fs::path& beside)
      : path(c10::str(beside.string(), ".", ::getpid(), ".partial")) {
    std::error_code error;
    fs::create_directory(path, error);
    GAMUT_CHECK(!error, "cannot write `", beside.string(), "`: ", error.message());
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

void write_codes_shard(const TokenizerJob& job, int64_t rate, int64_t channels) {
  const WorkFolder folder(job.to);
  data::CodesWriter writer(folder.path, "all",
                           data::CodesDescription::of(job.tokenizer, job.record));
  data::AudioReader reader(job.from, {rate, channels});
  const at::Tensor codes = encode_all(job, reader);
  const files::MappedFile source(job.from);
  writer.append(codes, {{"name", job.from.stem().string()},
                        {"source", job.from.filename().string()},
                        {"sha256", files::sha256_hex(source.data(), source.size())},
                        {"samples", reader.samples_of_file()},
                        {"channels", reader.file().channels},
                        {"sample_rate", reader.file().sample_rate}});
  fs::rename(writer.finish().front(), job.to);
  files::sync_folder(fs::absolute(job.to).parent_path());
  std::fprintf(stderr, "gamut: %lld frames of %lld codebooks\n",
               static_cast<long long>(codes.size(1)), static_cast<long long>(codes.size(0)));
}

void decode_shard(const TokenizerJob& job, data::AudioEncoding encoding) {
  const data::CodeSet set({job.from});
  GAMUT_CHECK(job.item >= 0 && job.item < set.items(), "`", job.from.string(), "` has ",
              set.items(), " items, and --item is ", job.item, "; they are counted from 0");
  std::optional<AudioProgress> progress;
  data::DecodeOptions options;
  options.encoding = encoding;
  options.progress = [&](double done, double all) {
    if (!progress) progress.emplace(all);
    progress->update(static_cast<int64_t>(done));
  };
  data::CodeStretch whole;
  whole.item = job.item;
  data::decode_stretch(set, job.tokenizer, job.record, whole, job.to, options);
  if (progress) progress->finish();
}

}  // namespace

void encode_audio(const TokenizerJob& job) {
  const int64_t rate = job.tokenizer.info().sample_rate, channels = codec_of(job).channels();
  if (is_code_file(job, job.to)) {
    write_code_file(job, *code_files_of(job), rate, channels);
  } else {
    write_codes_shard(job, rate, channels);
  }
}

void decode_audio(const TokenizerJob& job) {
  const auto encoding = job.float32 ? data::AudioEncoding::float32 : data::AudioEncoding::pcm16;
  if (!is_code_file(job, job.from)) return decode_shard(job, encoding);
  const files::MappedFile file(job.from);
  data::write_audio(job.to, code_files_of(job)->decode_file(bytes_of(file)), encoding);
}

}  // namespace gamut::cli
