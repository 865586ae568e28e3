// SHA-256 by OpenSSL, which uses the processor's SHA instructions; XXH3 from xxHash's header.
#include "files/hash.h"

#include <gamut/error.h>
#include <openssl/evp.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace gamut::files {
namespace {

std::string hex(const unsigned char* bytes, size_t count) {
  static const char* digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * count);
  for (size_t i = 0; i < count; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

std::string hex(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  return hex(canonical.digest, sizeof canonical.digest);
}

struct FreeEvp {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
struct FreeXxh {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

struct Hasher::State {
  std::unique_ptr<EVP_MD_CTX, FreeEvp> sha256{EVP_MD_CTX_new()};
  std::unique_ptr<XXH3_state_t, FreeXxh> xxh3{XXH3_createState()};
  uint64_t bytes = 0;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  GAMUT_CHECK(state_->sha256 && state_->xxh3 &&
                  EVP_DigestInit_ex(state_->sha256.get(), EVP_sha256(), nullptr) == 1,
              "OpenSSL offers no SHA-256 here, which checkpoints are checked with");
  XXH3_128bits_reset(state_->xxh3.get());
}

Hasher::~Hasher() = default;

void Hasher::update(const void* data, size_t bytes) {
  EVP_DigestUpdate(state_->sha256.get(), data, bytes);
  XXH3_128bits_update(state_->xxh3.get(), data, bytes);
  state_->bytes += bytes;
}

Digest Hasher::finish() {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->sha256.get(), sha256, &size);
  return {state_->bytes, hex(sha256, size), hex(XXH3_128bits_digest(state_->xxh3.get()))};
}

std::string sha256_hex(const void* data, size_t bytes) {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  GAMUT_CHECK(EVP_Digest(data, bytes, sha256, &size, EVP_sha256(), nullptr) == 1,
              "OpenSSL offers no SHA-256 here, which checkpoints are checked with");
  return hex(sha256, size);
}

std::string xxh3_hex(const void* data, size_t bytes) {
  return hex(XXH3_128bits(data, bytes));
}

}  // namespace gamut::files
