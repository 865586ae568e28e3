// Samples are rounded here, not by libsndfile, which scales by 32767; the file goes through a
// temporary name.
#include "data/audio/writer.h"

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>
#include <vector>

#include "files/file.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

// libsndfile's number for what the extension and the encoding ask for.
int format_of(const fs::path& path, AudioEncoding encoding) {
  const std::string extension = path.extension().string();
  const bool is_flac = extension == ".flac";
  GAMUT_CHECK(is_flac || extension == ".wav", "cannot write audio to ", path.string(),
              ": its name must end in .wav or .flac");
  GAMUT_CHECK(!is_flac || encoding == AudioEncoding::pcm16, "cannot write floats to ",
              path.string(), ": FLAC holds integers; name a .wav file");
  const int bits = encoding == AudioEncoding::pcm16 ? SF_FORMAT_PCM_16 : SF_FORMAT_FLOAT;
  return (is_flac ? SF_FORMAT_FLAC : SF_FORMAT_WAV) | bits;
}

}  // namespace

AudioWriter::AudioWriter(fs::path path, int64_t sample_rate, int64_t channels,
                         AudioEncoding encoding)
    : path_(std::move(path)),
      temporary_(path_.parent_path() /
                 c10::str(".", path_.filename().string(), ".", getpid(), ".tmp")),
      sample_rate_(sample_rate),
      channels_(channels),
      encoding_(encoding) {
  files::ignore_size_signal();
  SF_INFO info{};
  info.samplerate = static_cast<int>(sample_rate);
  info.channels = static_cast<int>(channels);
  info.format = format_of(path_, encoding);
  GAMUT_CHECK(sf_format_check(&info), "cannot write ", path_.string(), " with ", channels,
              " channels at ", sample_rate, " Hz");
  unlink(temporary_.c_str());  // a leftover of a killed process that had the same id
  errno = 0;
  file_ = sf_open(temporary_.c_str(), SFM_WRITE, &info);
  if (!file_ && errno != 0) files::fail("create", path_, errno);
  GAMUT_CHECK(file_, "cannot create ", path_.string(), ": ", sf_strerror(nullptr));
  // It holds the time of day.
  sf_command(file_, SFC_SET_ADD_PEAK_CHUNK, nullptr, SF_FALSE);
}

AudioWriter::~AudioWriter() {
  if (!file_) return;
  sf_close(file_);
  unlink(temporary_.c_str());
}

void AudioWriter::fail(const char* what) {
  if (errno != 0) files::fail(what, path_, errno);
  throw Error(c10::str("cannot ", what, " ", path_.string(), ": ", sf_strerror(file_)));
}

void AudioWriter::write(const at::Tensor& samples) {
  GAMUT_CHECK(file_, path_.string(), " is complete; nothing can be added");
  GAMUT_CHECK(samples.dim() == 2 && samples.size(0) == channels_ && samples.is_floating_point(),
              path_.string(), " takes float samples [", channels_, ", n], not ", samples.dtype(),
              " ", samples.sizes());
  const at::Tensor plain = samples.detach().to(at::kCPU, at::kFloat).t().contiguous();
  GAMUT_CHECK(plain.isfinite().all().item<bool>(), "cannot write ", path_.string(),
              ": a sample between ", written_, " and ", written_ + plain.size(0), " is not finite");
  const int64_t frames = plain.size(0);
  constexpr int64_t kLargestWav = 0xFFFFFFFF - 1024;
  const int64_t bytes =
      (written_ + frames) * channels_ * (encoding_ == AudioEncoding::pcm16 ? 2 : 4);
  GAMUT_CHECK(bytes <= kLargestWav, "cannot write ", path_.string(),
              ": a WAV file holds 4 GiB at most; cut the audio into several");
  errno = 0;
  if (encoding_ == AudioEncoding::pcm16) {
    write_pcm16(plain.const_data_ptr<float>(), frames);
  } else if (sf_writef_float(file_, plain.const_data_ptr<float>(), frames) != frames) {
    fail("write");
  }
  written_ += frames;
}

void AudioWriter::write_pcm16(const float* samples, int64_t frames) {
  std::vector<int16_t> rounded(static_cast<size_t>(frames * channels_));
  for (size_t i = 0; i < rounded.size(); ++i) {
    rounded[i] =
        static_cast<int16_t>(std::lrint(std::clamp(samples[i] * 32768.0f, -32768.0f, 32767.0f)));
  }
  if (sf_writef_short(file_, rounded.data(), frames) != frames) fail("write");
}

void AudioWriter::finish() {
  GAMUT_CHECK(file_, path_.string(), " is complete already");
  errno = 0;
  sf_write_sync(file_);
  const int error = sf_close(std::exchange(file_, nullptr));
  if (error != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int number = errno;
    unlink(temporary_.c_str());
    if (error == 0 || number != 0) files::fail("put in place", path_, number);
    throw Error(c10::str("cannot complete ", path_.string(), ": ", sf_error_number(error)));
  }
  files::sync_folder(path_.parent_path());
}

void write_audio(const fs::path& path, const Audio& audio, AudioEncoding encoding) {
  GAMUT_CHECK(audio.samples.defined() && audio.samples.dim() == 2, "cannot write ", path.string(),
              ": audio is float samples [channels, n]");
  AudioWriter writer(path, audio.sample_rate, audio.samples.size(0), encoding);
  writer.write(audio.samples);
  writer.finish();
}

}  // namespace gamut::data
