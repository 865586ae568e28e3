// Any bytes as an .ecdc file: either a gamut::Error, or codes that survive being written and read
// again.
#include <gamut/error.h>

#include "support.h"
#include "tokenizers/encodec/ecdc.h"

namespace {

using gamut::encodec::EcdcFile;
using gamut::encodec::parse_ecdc;
using gamut::fuzz::require;

void check_same(const EcdcFile& a, const EcdcFile& b) {
  require(a.model == b.model && a.samples == b.samples && a.codebooks == b.codebooks &&
          a.segments.size() == b.segments.size());
  for (size_t i = 0; i < a.segments.size(); ++i) {
    require(a.segments[i].codes == b.segments[i].codes &&
            a.segments[i].frames == b.segments[i].frames &&
            a.segments[i].scale == b.segments[i].scale);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const EcdcFile file = parse_ecdc({reinterpret_cast<const char*>(data), size});
    for (const auto& segment : file.segments) {
      require(segment.codes.size() == static_cast<uint64_t>(segment.frames * file.codebooks));
      for (const uint16_t code : segment.codes) require(code < 1024);
    }
    check_same(file, parse_ecdc(gamut::encodec::write_ecdc(file)));
  } catch (const gamut::Error& error) {
    require(error.what()[0] != 0);
  }
  return 0;
}
