// The progress line on a terminal and in a file, with a clock that the test turns.
#include "telemetry/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace gamut::telemetry {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct World {
  std::string shown;
  double now = 100;
  int columns = 200;

  ProgressOutput output(bool terminal) {
    ProgressOutput out;
    out.write = [this](std::string_view text) { shown += text; };
    out.clock = [this] { return now; };
    out.memory = [] { return MemoryUse{1'200'000'000, 1'500'000'000, 0, 0}; };
    out.width = [this] { return columns; };
    out.terminal = terminal;
    return out;
  }
  std::string take() { return std::exchange(shown, ""); }
};

ProgressPlan steps(int64_t total) {
  ProgressPlan plan;
  plan.total_steps = total;
  return plan;
}

ProgressUpdate at(int64_t step) {
  ProgressUpdate update;
  update.step = step;
  update.loss = 2.5;
  update.tokens_per_second = 31234;
  return update;
}

TEST(Progress, ShowsEverythingOnOneLine) {
  World world;
  Progress progress(steps(200), world.output(false));
  progress.update(at(1));
  world.take();
  world.now += 30;
  ProgressUpdate update = at(11);
  update.extras = {{"val_bpb", "1.92"}};
  progress.update(update);
  EXPECT_EQ(world.take(),
            "step  11/200   5%  loss 2.5000  31.2k tokens/s  1.20 GB (peak 1.50 GB)  9m 27s left  "
            "val_bpb 1.92\n");
}

TEST(Progress, ATerminalLineIsRedrawnNotRepeated) {
  World world;
  Progress progress(steps(1000), world.output(true));
  for (int step = 1; step <= 100; ++step) {
    progress.update(at(step));
    world.now += 0.01;
  }
  std::string shown = world.take();
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 0);
  auto redraws = std::count(shown.begin(), shown.end(), '\r');
  EXPECT_GE(redraws, 9);
  EXPECT_LE(redraws, 11);
  progress.finish();
  shown = world.take();
  EXPECT_THAT(shown, StartsWith("\rstep  100/1000"));
  EXPECT_THAT(shown, EndsWith("\x1b[K\n"));
}

TEST(Progress, ATerminalLineNeverWraps) {
  World world;
  world.columns = 40;
  Progress progress(steps(1000), world.output(true));
  progress.update(at(1));
  std::string shown = world.take();
  EXPECT_EQ(shown.size(), std::string("\r\x1b[K").size() + 39);
}

TEST(Progress, NotesStandAboveTheLine) {
  World world;
  Progress progress(steps(1000), world.output(true));
  progress.update(at(1));
  world.take();
  progress.note("saved step 1");
  EXPECT_THAT(world.take(), StartsWith("\r\x1b[Ksaved step 1\n\rstep    1/1000"));
}

TEST(Progress, AFileGetsWholeLinesAtGrowingIntervals) {
  World world;
  Progress progress(steps(100000), world.output(false));
  for (int step = 1; step <= 6000; ++step) {  // ten minutes of tenths of a second
    progress.update(at(step));
    world.now += 0.1;
  }
  std::string shown = world.take();
  auto lines = std::count(shown.begin(), shown.end(), '\n');
  EXPECT_GE(lines, 10 + 25 + 9);
  EXPECT_LE(lines, 12 + 29 + 11);
  EXPECT_THAT(shown, Not(HasSubstr("\x1b")));
  EXPECT_THAT(shown, Not(HasSubstr("\r")));
}

TEST(Progress, TheLastStepIsAlwaysShownAndOnce) {
  World world;
  Progress progress(steps(3), world.output(false));
  for (int step = 1; step <= 3; ++step) progress.update(at(step));
  progress.finish();
  std::string shown = world.take();
  EXPECT_THAT(shown, HasSubstr("step 1/3"));
  EXPECT_THAT(shown, Not(HasSubstr("step 2/3")));
  EXPECT_EQ(shown.find("step 3/3"), shown.rfind("step 3/3"));
  EXPECT_THAT(shown, HasSubstr("in 0s"));
}

TEST(Progress, ABudgetBoundsTheTimeLeft) {
  World world;
  ProgressPlan plan = steps(1000);
  plan.budget_seconds = 60;
  plan.spent_seconds = 20;
  Progress progress(plan, world.output(false));
  EXPECT_DOUBLE_EQ(*progress.seconds_left(), 40);
  progress.update(at(1));
  world.now += 10;
  progress.update(at(2));
  EXPECT_DOUBLE_EQ(*progress.seconds_left(), 30);  // 9980 s by the steps
  world.now += 100;
  EXPECT_DOUBLE_EQ(*progress.seconds_left(), 0);
}

TEST(Progress, TimeLeftIsUnknownWithoutAPace) {
  World world;
  Progress progress(steps(10), world.output(false));
  EXPECT_FALSE(progress.seconds_left());
  progress.update(at(1));
  EXPECT_THAT(world.take(), Not(HasSubstr("left")));
}

TEST(Format, UnitsAreChosenForReading) {
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(192), "3m 12s");
  EXPECT_EQ(format_duration(7500), "2h 05m");
  EXPECT_EQ(format_duration(98000), "1d 03h");
  EXPECT_EQ(format_bytes(123'456'789), "123 MB");
  EXPECT_EQ(format_rate(3.25), "3.2");
  EXPECT_EQ(format_rate(2'500'000), "2.50M");
}

TEST(Memory, OfThisProcessIsPlausible) {
  MemoryUse use = memory_use();
  EXPECT_GT(use.resident, 1'000'000);
  EXPECT_GE(use.resident_peak, use.resident / 2);
}

}  // namespace
}  // namespace gamut::telemetry
