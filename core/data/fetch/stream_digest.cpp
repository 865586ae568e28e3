// OpenSSL's message digests behind three names.
#include "data/fetch/stream_digest.h"

#include <gamut/error.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace gamut::data {
namespace {

const EVP_MD* algorithm(const std::string& kind) {
  const EVP_MD* found = kind == "sha256" ? EVP_sha256()
                        : kind == "sha1" ? EVP_sha1()
                        : kind == "md5"  ? EVP_md5()
                                         : nullptr;
  GAMUT_CHECK(found, "a checksum is a sha256, sha1 or md5, not a `", kind, "`");
  return found;
}

}  // namespace

struct StreamDigest::State {
  const EVP_MD* algorithm;
  EVP_MD_CTX* context;
};

StreamDigest::StreamDigest(const std::string& kind)
    : state_(std::make_unique<State>(State{algorithm(kind), EVP_MD_CTX_new()})) {
  reset();
}

StreamDigest::~StreamDigest() {
  EVP_MD_CTX_free(state_->context);
}

void StreamDigest::reset() {
  GAMUT_CHECK(EVP_DigestInit_ex(state_->context, state_->algorithm, nullptr) == 1,
              "OpenSSL refuses the checksum ", EVP_MD_get0_name(state_->algorithm),
              ", as a system that allows FIPS algorithms only does");
}

void StreamDigest::update(const void* data, size_t bytes) {
  EVP_DigestUpdate(state_->context, data, bytes);
}

std::string StreamDigest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, raw.data(), &length);
  std::string digits;
  for (unsigned i = 0; i < length; ++i) {
    digits += "0123456789abcdef"[raw.at(i) >> 4];
    digits += "0123456789abcdef"[raw.at(i) & 15];
  }
  return digits;
}

NamedDigest::NamedDigest(const std::string& text) {
  const auto colon = text.find(':');
  GAMUT_CHECK(colon != std::string::npos, "a checksum is written as kind:digits, such as sha256:9f",
              "86d081..., not `", text, "`");
  kind = text.substr(0, colon);
  digits = text.substr(colon + 1);
  std::transform(digits.begin(), digits.end(), digits.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto wanted = static_cast<size_t>(2 * EVP_MD_get_size(algorithm(kind)));
  GAMUT_CHECK(
      digits.size() == wanted && digits.find_first_not_of("0123456789abcdef") == std::string::npos,
      "a ", kind, " has ", wanted, " hexadecimal digits, and `", digits, "` is none");
}

}  // namespace gamut::data
