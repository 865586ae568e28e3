// The wire format of protocol buffers, as far as event files need it.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace gamut::telemetry {

// Appends fields to an encoded message.
class Message {
 public:
  Message& varint(uint32_t field, uint64_t value) {
    key(field, 0);
    raw_varint(value);
    return *this;
  }
  Message& number(uint32_t field, double value) {
    key(field, 1);
    raw(value);
    return *this;
  }
  Message& number(uint32_t field, float value) {
    key(field, 5);
    raw(value);
    return *this;
  }
  // A string, bytes or an embedded message.
  Message& bytes(uint32_t field, const std::string& value) {
    key(field, 2);
    raw_varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& packed(uint32_t field, const std::vector<double>& values) {
    std::string body(values.size() * sizeof(double), '\0');
    if (!values.empty()) std::memcpy(body.data(), values.data(), body.size());
    return bytes(field, body);
  }
  const std::string& encoded() const { return bytes_; }

 private:
  void key(uint32_t field, uint32_t wire_type) { raw_varint(field << 3 | wire_type); }
  void raw_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  template <class T>
  void raw(T value) {  // little-endian, as the hosts we build for
    char body[sizeof(T)];
    std::memcpy(body, &value, sizeof(T));
    bytes_.append(body, sizeof(T));
  }

  std::string bytes_;
};

}  // namespace gamut::telemetry
