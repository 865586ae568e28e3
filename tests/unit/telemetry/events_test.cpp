// TensorBoard event files, read back by a reader that shares nothing with the writer.
#include "telemetry/events.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include "gamut/error.h"
#include "telemetry/crc32c.h"
#include "telemetry/utf8.h"

namespace gamut::telemetry {
namespace {

TEST(Crc32c, MatchesThePublishedVectors) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0').data(), 32), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff').data(), 32), 0x62a8ab43u);
  std::string ascending(32, '\0');
  std::iota(ascending.begin(), ascending.end(), 0);
  EXPECT_EQ(crc32c(ascending.data(), 32), 0x46dd794eu);
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);
  EXPECT_EQ(crc32c("", 0), 0u);
}

// Bit by bit, with no table: the reader's own.
uint32_t slow_masked_crc(const std::string& data) {
  uint32_t crc = ~0u;
  for (unsigned char byte : data) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// Fields of one protobuf message: payload bytes by number; varints in `numbers`.
struct Fields {
  std::multimap<int, std::string> payloads;
  std::map<int, uint64_t> numbers;

  std::string one(int field) const { return payloads.find(field)->second; }
  template <class T>
  T as(int field) const {
    T value;
    std::string bytes = one(field);
    EXPECT_EQ(bytes.size(), sizeof(T));
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
};

Fields parse(const std::string& message) {
  Fields fields;
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      auto byte = static_cast<unsigned char>(message.at(at++));
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    uint64_t key = varint();
    int field = static_cast<int>(key >> 3);
    if ((key & 7) == 0) {
      fields.numbers[field] = varint();
      continue;
    }
    size_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
    fields.payloads.emplace(field, message.substr(at, size));
    EXPECT_LE(at + size, message.size());
    at += size;
  }
  return fields;
}

std::vector<Fields> read_events(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string data(std::istreambuf_iterator<char>(file), {});
  std::vector<Fields> events;
  for (size_t at = 0; at < data.size();) {
    uint64_t length;
    uint32_t header_crc, body_crc;
    std::memcpy(&length, data.data() + at, 8);
    std::memcpy(&header_crc, data.data() + at + 8, 4);
    std::string body = data.substr(at + 12, length);
    std::memcpy(&body_crc, data.data() + at + 12 + length, 4);
    EXPECT_EQ(header_crc, slow_masked_crc(data.substr(at, 8)));
    EXPECT_EQ(body_crc, slow_masked_crc(body));
    events.push_back(parse(body));
    at += 16 + length;
  }
  return events;
}

class Events : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static Fields value_of(const Fields& event) { return parse(parse(event.one(5)).one(1)); }

  std::string folder_ = testing::TempDir() + "gamut_events_" + std::to_string(::getpid());
};

TEST_F(Events, AFileStartsWithItsVersion) {
  EventWriter writer(folder_);
  EXPECT_NE(writer.path().find("/events.out.tfevents."), std::string::npos);
  std::vector<Fields> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].one(3), "brain.Event:2");
  EXPECT_GT(events[0].as<double>(1), 1.6e9);  // wall time in seconds
}

TEST_F(Events, ScalarsAndTextReadBack) {
  EventWriter writer(folder_);
  writer.scalar("train/loss", 300, 2.5);
  writer.text("sample", 301, "# Hello");
  std::vector<Fields> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[1].numbers[2], 300u);
  EXPECT_EQ(value_of(events[1]).one(1), "train/loss");
  EXPECT_EQ(value_of(events[1]).as<float>(2), 2.5f);
  Fields text = value_of(events[2]);
  EXPECT_EQ(parse(text.one(8)).one(8), "# Hello");
  EXPECT_EQ(parse(parse(text.one(9)).one(1)).one(1), "text");
}

TEST(Utf8, OnlyWhatIsNoUtf8IsReplaced) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(valid_utf8("a\tü€𝄞\n"), "a\tü€𝄞\n");
  EXPECT_EQ(valid_utf8("\xff|\xc3|\xe2\x82"), bad + "|" + bad + "|" + bad + bad);
  EXPECT_EQ(valid_utf8("\xc0\xaf"), bad + bad);                      // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80"), bad + bad + bad + bad);  // beyond U+10FFFF
  EXPECT_EQ(valid_utf8(std::string("a\0b", 3)), "a b");
}

TEST_F(Events, TextOfByteLevelModelsIsMadeReadable) {
  EventWriter writer(folder_);
  writer.text("sam\xffple", 1, "x\xfey");
  Fields text = value_of(read_events(writer.path())[1]);
  EXPECT_EQ(text.one(1), "sam\xef\xbf\xbdple");
  EXPECT_EQ(parse(text.one(8)).one(8), "x\xef\xbf\xbdy");
}

TEST_F(Events, HistogramsCountEveryFiniteValue) {
  EventWriter writer(folder_);
  writer.histogram("weights", 1, {-2.0, 0.0, 0.5, 0.5, 3.0, NAN, HUGE_VAL});
  Fields histogram = parse(value_of(read_events(writer.path())[1]).one(5));
  EXPECT_EQ(histogram.as<double>(1), -2.0);
  EXPECT_EQ(histogram.as<double>(2), 3.0);
  EXPECT_EQ(histogram.as<double>(3), 5.0);
  EXPECT_EQ(histogram.as<double>(4), 2.0);
  EXPECT_EQ(histogram.as<double>(5), 13.5);
  auto doubles = [](const std::string& bytes) {
    std::vector<double> values(bytes.size() / 8);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  };
  std::vector<double> limits = doubles(histogram.one(6)), counts = doubles(histogram.one(7));
  ASSERT_EQ(limits.size(), counts.size());
  EXPECT_TRUE(std::is_sorted(limits.begin(), limits.end()));
  double below_one = 0;
  for (size_t i = 0; i < limits.size() && limits[i] < 1; ++i) below_one += counts[i];
  EXPECT_EQ(below_one, 4.0);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0.0), 5.0);
}

TEST_F(Events, AnEmptyHistogramIsValid) {
  EventWriter writer(folder_);
  writer.histogram("none", 1, {});
  EXPECT_EQ(parse(value_of(read_events(writer.path())[1]).one(5)).as<double>(3), 0.0);
}

TEST_F(Events, ResumingStartsASessionBehindTheLastStep) {
  EventWriter first(folder_), second(folder_, 40);
  EXPECT_NE(first.path(), second.path());
  std::vector<Fields> events = read_events(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].numbers[2], 41u);
  EXPECT_EQ(parse(events[1].one(7)).numbers[1], 1u);
}

TEST_F(Events, NegativeStepsAreRefused) {
  EXPECT_THROW(EventWriter(folder_).scalar("x", -1, 0), Error);
}

}  // namespace
}  // namespace gamut::telemetry
