// The checksum that a publisher names, taken of a file as it comes in.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace gamut::data {

// SHA-256, SHA-1 or MD5, by OpenSSL.
class StreamDigest {
 public:
  // `kind`: "sha256", "sha1" or "md5"; throws gamut::Error for any other.
  explicit StreamDigest(const std::string& kind);
  ~StreamDigest();
  StreamDigest(const StreamDigest&) = delete;
  StreamDigest& operator=(const StreamDigest&) = delete;

  void reset();
  void update(const void* data, size_t bytes);
  std::string finish();  // hexadecimal digits; reset() before further use

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A checksum as recipes write it, "sha256:9f86d0...": its kind and its hexadecimal digits in lower
// case. Throws gamut::Error for an unknown kind and for digits of the wrong number.
struct NamedDigest {
  std::string kind, digits;
  explicit NamedDigest(const std::string& text);
};

}  // namespace gamut::data
