// libsndfile gives interleaved floats; every way in which it can fail becomes a sentence.
#include "data/audio/input.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "data/audio/truncation.h"
#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

// "WAV (Microsoft), Signed 16 bit PCM" from libsndfile's number.
std::string format_name(int format) {
  std::string name;
  for (const int part : {format & SF_FORMAT_TYPEMASK, format & SF_FORMAT_SUBMASK}) {
    SF_FORMAT_INFO info{};
    info.format = part;
    if (sf_command(nullptr, SFC_GET_FORMAT_INFO, &info, sizeof info) != 0) continue;
    name += (name.empty() ? "" : ", ") + std::string(info.name);
  }
  return name;
}

// Whether the number of samples in a file's header is the number that it holds. Of MP3 and Ogg
// files libsndfile derives it itself, sometimes wrongly; they are checked by their bytes instead.
bool tells_its_length(int format) {
  const int type = format & SF_FORMAT_TYPEMASK;
  return type != SF_FORMAT_MPEG && type != SF_FORMAT_OGG;
}

// What stands in the way before any of the bytes is looked at as audio.
void check_file(const fs::path& path, bool accepts_truncated) {
  struct stat status{};
  const bool opens = stat(path.c_str(), &status) == 0 && access(path.c_str(), R_OK) == 0;
  GAMUT_CHECK(opens, "cannot open ", path.string(), ": ", std::strerror(errno));
  GAMUT_CHECK(!S_ISDIR(status.st_mode), path.string(), " is a folder, not an audio file");
  const files::MappedFile bytes(path);
  GAMUT_CHECK(bytes.size() > 0, path.string(), " is no audio file: it is empty");
  const auto fault = find_audio_fault({bytes.data(), bytes.size()}, path.extension().string());
  if (!fault.reason.empty() && !(fault.is_truncation && accepts_truncated)) {
    throw Error(
        c10::str(path.string(),
                 fault.is_truncation ? " breaks off: " : " is no audio file: ", fault.reason));
  }
}

}  // namespace

AudioInput::AudioInput(fs::path path, bool accepts_truncated)
    : path_(std::move(path)), accepts_truncated_(accepts_truncated) {
  check_file(path_, accepts_truncated);
  SF_INFO info{};
  file_ = sf_open(path_.c_str(), SFM_READ, &info);
  GAMUT_CHECK(file_, path_.string(), " is no audio file that can be read: ", sf_strerror(nullptr),
              " WAV, FLAC, Ogg (Vorbis, Opus), MP3 and AIFF can.");
  facts_ = {format_name(info.format), info.samplerate, info.channels};
  constexpr sf_count_t kUnknown = sf_count_t{1} << 62;  // libsndfile says so by its largest number
  if (tells_its_length(info.format) && info.frames < kUnknown) claimed_ = info.frames;
}

AudioInput::~AudioInput() {
  if (file_) sf_close(file_);
}

at::Tensor AudioInput::read(int64_t frames) {
  buffer_.resize(static_cast<size_t>(frames * facts_.channels));
  const int64_t count = sf_readf_float(file_, buffer_.data(), frames);
  if (count <= 0) {
    check_end();
    return at::empty({facts_.channels, 0}, at::kFloat);
  }
  check_finite(buffer_.data(), count);
  position_ += count;
  return at::from_blob(buffer_.data(), {count, facts_.channels}, at::kFloat)
      .t()
      .clone(at::MemoryFormat::Contiguous);
}

void AudioInput::check_finite(const float* samples, int64_t frames) const {
  const int64_t count = frames * facts_.channels;
  float sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += samples[i] * 0.0f;  // 0, or NaN where one is not finite
  if (sum == 0) return;
  int64_t bad = 0;
  while (std::isfinite(samples[bad])) ++bad;
  const int64_t sample = position_ + bad / facts_.channels;
  throw Error(c10::str(path_.string(), " holds ", samples[bad], " at sample ", sample, " (",
                       static_cast<double>(sample) / static_cast<double>(facts_.sample_rate),
                       " s) of channel ", bad % facts_.channels, "; samples must be finite"));
}

void AudioInput::check_end() const {
  if (accepts_truncated_) return;
  GAMUT_CHECK(sf_error(file_) == SF_ERR_NO_ERROR, path_.string(),
              " cannot be decoded after sample ", position_, ": ", sf_strerror(file_));
  GAMUT_CHECK(position_ >= claimed_, path_.string(), " breaks off: its header promises ", claimed_,
              " samples, and only ", position_, " can be decoded");
}

}  // namespace gamut::data
