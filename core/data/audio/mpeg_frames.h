// The frames of an MPEG audio stream (ISO 11172-3, 13818-3), walked by their headers.
#pragma once

#include "data/audio/truncation.h"

namespace gamut::data {

// An MP3 file breaks off if its last frame is not whole, or if there are fewer frames than the
// first one counts (LAME and ffmpeg write `Xing` or `Info` there). Tags and junk between frames are
// passed over. A file without two frames in a row is no MPEG audio.
AudioFault check_mpeg(AudioBytes file);

}  // namespace gamut::data
