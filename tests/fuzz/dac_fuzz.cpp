// Any bytes as a .dac file: either a gamut::Error, or codes of the shape that it says, which
// survive being written and read again.
#include <gamut/error.h>

#include "support.h"
#include "tokenizers/dac/dac_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gamut::fuzz::require;
  try {
    const auto file = gamut::dac::parse_dac_file({reinterpret_cast<const char*>(data), size});
    require(file.batch >= 1 && file.codebooks >= 1 && file.frames >= 0 && !file.input_db.empty());
    require(file.codes.size() == static_cast<uint64_t>(file.batch * file.codebooks * file.frames));
    const auto again = gamut::dac::parse_dac_file(gamut::dac::write_dac_file(file));
    require(again.codes == file.codes && again.input_db == file.input_db);
    require(again.sample_rate == file.sample_rate && again.padding == file.padding &&
            again.original_length == file.original_length && again.channels == file.channels &&
            again.chunk_length == file.chunk_length && again.version == file.version);
  } catch (const gamut::Error& error) {
    require(error.what()[0] != 0);
  }
  return 0;
}
