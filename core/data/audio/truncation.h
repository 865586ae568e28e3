// Whether the bytes of an audio file break off. libsndfile reads what is left of such a file as if
// it were whole; the formats tell: WAV and AIFF by the size of their data, Ogg by its last page,
// MP3 by its frames and by their number in the first one. (FLAC tells its samples; the reader
// counts.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gamut::data {

struct AudioBytes {
  const uint8_t* data;
  size_t size;
};

struct AudioFault {
  std::string reason;          // empty: none was found
  bool is_truncation = false;  // otherwise it is no audio at all
};

// `extension` is the file's (".mp3"): an MP3 file has no mark at its beginning. Reads no byte out
// of the file, whatever it holds.
AudioFault find_audio_fault(AudioBytes file, const std::string& extension);

}  // namespace gamut::data
