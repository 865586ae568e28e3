// Any bytes as a SentencePiece model, of which the plugin reads a few facts beside the library:
// either a gamut::Error, or facts within the bytes.
#include <gamut/error.h>

#include "support.h"
#include "tokenizers/sentencepiece/model_facts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto facts =
        gamut::sentencepiece_plugin::read_facts({reinterpret_cast<const char*>(data), size});
    gamut::fuzz::require(facts.charsmap.size() <= size);
  } catch (const gamut::Error& error) {
    gamut::fuzz::require(error.what()[0] != 0);
  }
  return 0;
}
