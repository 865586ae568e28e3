// Loudness as descript-audio-codec measures it before it writes and after it reads a .dac file.
#pragma once

#include <cstdint>
#include <vector>

namespace gamut::dac {

// Integrated loudness (ITU-R BS.1770-4) in LUFS of channels of `samples` floats each, all front
// ones, never below -70. It is audiotools' measure: its K-weighting is pyloudnorm's default, which
// is not the recommendation's at rates other than 48 kHz, a signal below half a second is filled
// with zeros, and the last, partial block of 400 ms counts. A meter that follows the recommendation
// gives other decibels, and with them another volume than the package's.
double loudness(const std::vector<const float*>& channels, int64_t samples, int64_t sample_rate);

}  // namespace gamut::dac
