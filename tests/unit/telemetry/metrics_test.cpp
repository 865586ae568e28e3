// metrics.jsonl: exact numbers, one write a line, and resuming as if never interrupted.
#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "gamut/error.h"

namespace gamut::telemetry {
namespace {

using testing::HasSubstr;

class Metrics : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string content() const {
    std::ifstream file(path_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  void put(const std::string& text) const { std::ofstream(path_) << text; }

  std::string path_ = testing::TempDir() + "gamut_metrics_" + std::to_string(::getpid()) + ".jsonl";
};

TEST_F(Metrics, DoublesAreExact) {
  for (double value : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 2.0}) {
    double again = nlohmann::json::parse(metrics_line(1, {{"x", value}}))["x"].get<double>();
    EXPECT_EQ(std::memcmp(&again, &value, sizeof value), 0) << value;
  }
}

TEST_F(Metrics, LinesAreJsonInTheGivenOrder) {
  MetricFields fields = {
      {"time", 1.5}, {"tokens", int64_t{4096}}, {"ok", true}, {"note", "a \"b\"\n"}};
  EXPECT_EQ(metrics_line(3, fields),
            R"({"step":3,"time":1.5,"tokens":4096,"ok":true,"note":"a \"b\"\n"})");
  EXPECT_EQ(metrics_line(0, {{"a", NAN}, {"b", -HUGE_VAL}}), R"({"step":0,"a":"nan","b":"-inf"})");
}

TEST_F(Metrics, ResumeDropsLaterStepsAndATornLine) {
  put("{\"step\":1,\"x\":1}\n{\"step\":2,\"x\":2}\n{\"step\":2,\"val\":9}\n{\"step\":3,\"x\":3}\n{"
      "\"st");
  MetricsWriter(path_, 2).write(3, {{"x", int64_t{3}}});
  EXPECT_EQ(
      content(),
      "{\"step\":1,\"x\":1}\n{\"step\":2,\"x\":2}\n{\"step\":2,\"val\":9}\n{\"step\":3,\"x\":3}\n");
}

TEST_F(Metrics, ResumeKeepsEarlierLinesBehindLaterOnes) {
  put("{\"step\":5,\"x\":5}\n{\"step\":1,\"x\":1}\n");
  MetricsWriter(path_, 1).write(2, {{"x", int64_t{2}}});
  EXPECT_EQ(content(), "{\"step\":1,\"x\":1}\n{\"step\":2,\"x\":2}\n");
}

TEST_F(Metrics, WithoutResumeLinesAreAppended) {
  {
    MetricsWriter(path_).write(1, {});
  }
  {
    MetricsWriter(path_).write(2, {});
  }
  EXPECT_EQ(content(), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(Metrics, ReadingGroupsSeriesAndEventsAndCountsTornLines) {
  put("{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":\"nan\"}\n"
      "{\"step\":2,\"event\":\"resumed\",\"message\":\"from 1\"}\nrubbish\n{\"step\":3,\"lo");
  MetricsHistory history = read_metrics(path_);
  ASSERT_EQ(history.series.count("loss"), 1u);
  EXPECT_EQ(history.series["loss"].steps, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(history.series["loss"].values[0], 2.5);
  EXPECT_TRUE(std::isnan(history.series["loss"].values[1]));
  ASSERT_EQ(history.events.size(), 1u);
  EXPECT_EQ(history.events[0].message, "from 1");
  EXPECT_EQ(history.bad_lines, 2);
}

TEST_F(Metrics, AFullDiskLeavesWholeLinesAndSaysSo) {
  MetricsWriter writer(path_);
  writer.write(1, {});
  std::string before = content();
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  rlimit tight = old;
  tight.rlim_cur = before.size() + 5;
  ::setrlimit(RLIMIT_FSIZE, &tight);
  std::string message;
  try {
    writer.write(2, {{"loss", 1.0}});
  } catch (const Error& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(message, HasSubstr("cannot write to `" + path_ + "`: File too large"));
  EXPECT_EQ(content(), before);
  writer.write(2, {});
  EXPECT_EQ(content(), before + "{\"step\":2}\n");
}

TEST_F(Metrics, AnUnwritableFolderIsNamed) {
  EXPECT_THROW(MetricsWriter("/nowhere/metrics.jsonl"), Error);
}

}  // namespace
}  // namespace gamut::telemetry
