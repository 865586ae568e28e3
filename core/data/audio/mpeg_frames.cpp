// A frame is four bytes of header, from which its length follows, and the rest.
#include "data/audio/mpeg_frames.h"

#include <c10/util/StringUtil.h>

#include <cstring>
#include <optional>

namespace gamut::data {
namespace {

struct Frame {
  uint32_t kind;  // version, layer and rate: the bits that all frames of a stream share
  size_t bytes;
  bool is_mpeg1, is_mono;
};

// kbit/s: MPEG-1 layers I, II, III, then MPEG-2 layer I, and II and III.
constexpr int kBitrates[5][15] = {
    {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
    {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
    {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
    {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
    {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};
constexpr int kRates[3] = {44100, 48000, 32000};  // of MPEG-1; 2 and 2.5 have a half and a quarter

// The frame whose header lies at `offset`; none if it is no header, or one of free bit rate, whose
// length cannot be told.
std::optional<Frame> frame_at(AudioBytes file, size_t offset) {
  if (offset + 4 > file.size) return {};
  const uint8_t* h = file.data + offset;
  const int version = h[1] >> 3 & 3;  // 0: 2.5, 2: 2, 3: 1
  const int layer = 4 - (h[1] >> 1 & 3);
  const int bitrate = h[2] >> 4, rate = h[2] >> 2 & 3;
  const bool is_sync = h[0] == 0xFF && (h[1] & 0xE0) == 0xE0;
  if (!is_sync || version == 1 || layer == 4 || bitrate == 0 || bitrate == 15 || rate == 3)
    return {};
  const bool is_mpeg1 = version == 3;
  const int table = is_mpeg1 ? layer - 1 : layer == 1 ? 3 : 4;
  const int hertz = kRates[rate] >> (is_mpeg1 ? 0 : version == 2 ? 1 : 2);
  const int padding = h[2] >> 1 & 1;
  const int bits = kBitrates[table][bitrate] * 1000;
  const int slots = layer == 1 ? 12 : layer == 3 && !is_mpeg1 ? 72 : 144;
  const int bytes =
      layer == 1 ? (slots * bits / hertz + padding) * 4 : slots * bits / hertz + padding;
  const uint32_t kind = (h[1] & 0x1Eu) << 8 | (h[2] & 0x0Cu);
  return Frame{kind, static_cast<size_t>(bytes), is_mpeg1, h[3] >> 6 == 3};
}

// Behind an ID3v2 tag, whose size has 7 bits a byte; 0 without one.
size_t after_tag(AudioBytes file) {
  if (file.size < 10 || std::memcmp(file.data, "ID3", 3) != 0) return 0;
  size_t size = 0;
  for (size_t i = 6; i < 10; ++i) size = size << 7 | (file.data[i] & 0x7Fu);
  const size_t footer = file.data[5] & 0x10 ? 10 : 0;
  return 10 + size + footer;
}

// Whether a frame lies there that another of its kind, or the end of the file, follows.
bool starts_stream(AudioBytes file, size_t offset, std::optional<uint32_t> kind) {
  const auto frame = frame_at(file, offset);
  if (!frame || (kind && frame->kind != *kind)) return false;
  if (offset + frame->bytes == file.size) return true;
  const auto next = frame_at(file, offset + frame->bytes);
  return next && next->kind == frame->kind;
}

size_t find_stream(AudioBytes file, size_t offset, std::optional<uint32_t> kind) {
  while (offset < file.size && !starts_stream(file, offset, kind)) ++offset;
  return offset;
}

// Frames that the first one, which holds no sound then, counts behind itself; 0 if it counts none.
uint64_t counted_frames(AudioBytes file, size_t offset, const Frame& frame) {
  const size_t side = frame.is_mpeg1 ? (frame.is_mono ? 17 : 32) : (frame.is_mono ? 9 : 17);
  const size_t mark = offset + 4 + side;
  if (mark + 12 > file.size) return 0;
  const uint8_t* at = file.data + mark;
  if (std::memcmp(at, "Xing", 4) != 0 && std::memcmp(at, "Info", 4) != 0) return 0;
  if (!(at[7] & 1)) return 0;
  return uint64_t{at[8]} << 24 | uint64_t{at[9]} << 16 | uint64_t{at[10]} << 8 | at[11];
}

}  // namespace

AudioFault check_mpeg(AudioBytes file) {
  size_t offset = find_stream(file, after_tag(file), {});
  if (offset >= file.size) return {"it holds no two frames of MPEG audio in a row"};
  const Frame first = *frame_at(file, offset);
  const uint64_t counted = counted_frames(file, offset, first);
  uint64_t frames = 0;
  while (offset < file.size) {
    const auto frame = frame_at(file, offset);
    if (!frame || frame->kind != first.kind) {
      offset = find_stream(file, offset + 1, first.kind);
      continue;
    }
    if (offset + frame->bytes > file.size) {
      return {c10::str("it ends inside of the MPEG frame that begins at byte ", offset), true};
    }
    offset += frame->bytes;
    ++frames;
  }
  // Whether the counting frame counts itself is not agreed on.
  if (frames >= counted) return {};
  return {c10::str("its first frame counts ", counted, " MPEG frames, and only ", frames - 1,
                   " follow"),
          true};
}

}  // namespace gamut::data
