// zlib takes and gives pieces of at most 4 GiB; strings are handed over in smaller ones.
#include "checkpoint/zlib_bytes.h"

#include <gamut/error.h>
#include <zlib.h>

#include <algorithm>

namespace gamut::checkpoint {
namespace {

constexpr size_t kInputPiece = size_t{1} << 30;
constexpr size_t kPiece = size_t{1} << 20;

// A z_stream that is ended with its scope.
struct Stream : z_stream {
  explicit Stream(int (*end)(z_stream*)) : z_stream{}, end_(end) {}
  ~Stream() { end_(this); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // The next piece of the input; what is left of it is cut off.
  void feed(std::string_view& bytes) {
    if (avail_in > 0) return;
    next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    avail_in = static_cast<uInt>(std::min(bytes.size(), kInputPiece));
    bytes.remove_prefix(avail_in);
  }
  // Runs `step` into up to `room` more bytes at the end of `out`.
  template <class Step>
  int run(std::string& out, size_t room, Step step) {
    const size_t size = out.size();
    out.resize(size + room);
    next_out = reinterpret_cast<Bytef*>(out.data() + size);
    avail_out = static_cast<uInt>(room);
    const int status = step();
    out.resize(out.size() - avail_out);
    return status;
  }

 private:
  int (*end_)(z_stream*);
};

}  // namespace

std::string zlib_compress(std::string_view bytes, int level) {
  GAMUT_CHECK(level >= -1 && level <= 9,
              "a zlib level is from 0 to 9, or -1 for zlib's choice, not ", level);
  Stream stream(deflateEnd);
  GAMUT_CHECK(deflateInit(&stream, level) == Z_OK,
              "zlib cannot begin to compress; is memory left?");
  std::string out;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    stream.feed(bytes);
    const int flush = bytes.empty() ? Z_FINISH : Z_NO_FLUSH;
    status = stream.run(out, kPiece, [&] { return deflate(&stream, flush); });
  }
  return out;
}

std::string zlib_decompress(std::string_view bytes, size_t limit, const std::string& name) {
  Stream stream(inflateEnd);
  GAMUT_CHECK(inflateInit(&stream) == Z_OK, "zlib cannot begin to read; is memory left?");
  std::string out;
  for (int status = Z_OK; status != Z_STREAM_END;) {
    stream.feed(bytes);
    // One byte more than may be, to tell a stream of that size from a longer one.
    const size_t room = std::min(kPiece, limit - out.size() + 1);
    status = stream.run(out, room, [&] { return inflate(&stream, Z_NO_FLUSH); });
    GAMUT_CHECK(out.size() <= limit, name, " inflates to more than ", limit,
                " bytes, more than what it should hold can have");
    const bool is_cut = status == Z_BUF_ERROR || (status == Z_OK && stream.avail_in == 0 &&
                                                  bytes.empty() && stream.avail_out > 0);
    GAMUT_CHECK(!is_cut, name, " is truncated: its zlib stream does not end");
    GAMUT_CHECK(status == Z_OK || status == Z_STREAM_END, name,
                " is no zlib stream or damaged: ", stream.msg ? stream.msg : "zlib refuses it");
  }
  const size_t left = stream.avail_in + bytes.size();
  GAMUT_CHECK(left == 0, name, " has ", left, " bytes behind the end of its zlib stream");
  return out;
}

}  // namespace gamut::checkpoint
