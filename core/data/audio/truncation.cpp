// Each format's own account of its length against the bytes that are there.
#include "data/audio/truncation.h"

#include <c10/util/StringUtil.h>
#include <strings.h>

#include <algorithm>
#include <cstring>

#include "data/audio/mpeg_frames.h"

namespace gamut::data {
namespace {

uint64_t number_at(AudioBytes file, size_t offset, bool big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= uint64_t{file.data[offset + i]} << (big_endian ? 24 - 8 * i : 8 * i);
  }
  return value;
}

bool has(AudioBytes file, size_t offset, const char* mark) {
  const size_t length = std::strlen(mark);
  return offset + length <= file.size && std::memcmp(file.data + offset, mark, length) == 0;
}

// RIFF and AIFF: chunks of a name, a size and so many bytes, padded to even ones. A size near the
// format's limit is what programs write that do not know the length yet.
AudioFault check_chunks(AudioBytes file, bool big_endian, const char* data_chunk) {
  constexpr uint64_t kUnknown = 0x7F000000;
  for (size_t offset = 12; offset + 8 <= file.size;) {
    const uint64_t size = number_at(file, offset + 4, big_endian);
    const uint64_t left = file.size - offset - 8;
    if (has(file, offset, data_chunk)) {
      if (size <= left || size >= kUnknown) return {};
      return {c10::str("its samples need ", size, " bytes, and only ", left, " follow"), true};
    }
    if (size > left) break;
    offset += 8 + size + size % 2;
  }
  return {c10::str("it ends at byte ", file.size, ", before its samples begin"), true};
}

// Where the last Ogg page begins, or the size of the file.
size_t last_page(AudioBytes file) {
  constexpr size_t kLargestPage = 27 + 255 + 255 * 255;
  const size_t first = file.size > kLargestPage ? file.size - kLargestPage : 0;
  for (size_t offset = file.size; offset-- > first;) {
    if (has(file, offset, "OggS")) return offset;
  }
  return file.size;
}

// Ogg (RFC 3533): pages of a header, a table of sizes and so many bytes; the last one is marked.
AudioFault check_pages(AudioBytes file) {
  const size_t page = last_page(file);
  if (page == file.size) return {"its last 64 KiB hold no beginning of an Ogg page", true};
  const auto inside = [&] {
    return AudioFault{c10::str("it ends inside of the Ogg page that begins at byte ", page), true};
  };
  if (page + 27 > file.size) return inside();
  const size_t segments = file.data[page + 26];
  if (page + 27 + segments > file.size) return inside();
  size_t end = page + 27 + segments;
  for (size_t i = 0; i < segments; ++i) end += file.data[page + 27 + i];
  if (end > file.size) return inside();
  constexpr uint8_t kEndOfStream = 4;
  if (file.data[page + 5] & kEndOfStream) return {};
  return {c10::str("its last Ogg page, at byte ", page, ", is not marked as the end"), true};
}

}  // namespace

AudioFault find_audio_fault(AudioBytes file, const std::string& extension) {
  const bool is_wave = has(file, 8, "WAVE"), is_aiff = has(file, 8, "AIF");
  if (is_wave && has(file, 0, "RIFF")) return check_chunks(file, false, "data");
  if (is_wave && has(file, 0, "RIFX")) return check_chunks(file, true, "data");
  if (is_aiff && has(file, 0, "FORM")) return check_chunks(file, true, "SSND");
  if (has(file, 0, "OggS")) return check_pages(file);
  const bool is_mpeg = strcasecmp(extension.c_str(), ".mp3") == 0;
  if (has(file, 0, "ID3") || is_mpeg) return check_mpeg(file);
  return {};
}

}  // namespace gamut::data
