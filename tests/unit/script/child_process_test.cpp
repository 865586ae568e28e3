// A child process in the foreground: how it ends, what of its output is kept, and who gets signals.
#include "script/child_process.h"

#include <c10/util/StringUtil.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "../common.h"
#include "script/plain_lines.h"
#include "script/signals.h"

namespace gamut::script {
namespace {

ChildRequest shell(const std::string& line) {
  return {"/bin/sh", {"sh", "-c", line}, {}, -1};
}

std::string text_of(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(ChildProcess, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(run_child(shell("exit 7")).exit_code, 7);
  EXPECT_EQ(run_child(shell("exit 7")).signal, 0);
  EXPECT_EQ(run_child(shell("kill -KILL $$")).signal, SIGKILL);
  EXPECT_GE(run_child(shell("sleep 0.05")).seconds, 0.05);
}

TEST(ChildProcess, AProgramThatIsNotThereIsASentence) {
  ChildRequest request = shell("");
  request.program = "/no/such/program";
  EXPECT_EQ(test::error_of([&] { run_child(request); }),
            "cannot start /no/such/program: No such file or directory");
}

TEST(ChildProcess, TheLogIsAppendedToAsPlainLines) {
  const test::TemporaryFolder folder;
  ChildRequest request = shell("printf '10%%\\r\\033[K20%%\\rdone\\n'; echo wrong >&2; printf end");
  request.log = folder.path / "log";
  run_child(request);
  const std::string first = text_of(request.log);
  EXPECT_NE(first.find("done\n"), std::string::npos) << first;
  EXPECT_NE(first.find("wrong\n"), std::string::npos) << first;
  EXPECT_NE(first.find("end\n"), std::string::npos) << first;
  EXPECT_EQ(first.find('%'), std::string::npos) << first;
  run_child(request);
  EXPECT_EQ(text_of(request.log).size(), 2 * first.size());
}

// What the child leaves running holds its output open; nobody waits for that.
TEST(ChildProcess, ItsEndIsNotThatOfItsChildren) {
  EXPECT_LT(run_child(shell("sleep 8 & exit 0")).seconds, 6);
}

TEST(ChildProcess, ItIgnoresThatNobodyReadsItsOutput) {
  EXPECT_EQ(run_child(shell("trap '' 0; kill -PIPE $$; exit 3")).exit_code, 3);
}

// The shell sends us `sent` while it runs, and ends with 40 when `arrives` comes back to it.
void expect_passed_on(int sent, int arrives, const char* name) {
  clear_interrupt();
  const std::string line = c10::str("trap 'exit 40' ", arrives, "; kill -", sent, " ", getpid(),
                                    "; for i in $(seq 200); do sleep 0.05; done");
  EXPECT_EQ(run_child(shell(line)).exit_code, 40);
  EXPECT_STREQ(interrupted(), name);
  clear_interrupt();
}

TEST(ChildProcess, SignalsReachIt) {
  handle_signals(nullptr, OnSignal::note);
  expect_passed_on(SIGTERM, SIGTERM, "SIGTERM");
  expect_passed_on(SIGINT, SIGINT, "SIGINT");
  expect_passed_on(SIGHUP, SIGTERM, "SIGTERM");
}

TEST(Signals, HangingUpIsIgnoredWhereItWas) {
  std::signal(SIGHUP, SIG_IGN);
  handle_signals(nullptr, OnSignal::note);
  std::raise(SIGHUP);
  EXPECT_EQ(interrupted(), nullptr);
  std::signal(SIGHUP, SIG_DFL);
}

// A terminal and a parent both tell of one Ctrl-C.
TEST(Signals, ASecondAtOnceIsTheSameWish) {
  handle_signals(nullptr, OnSignal::note);
  clear_interrupt();
  std::raise(SIGTERM);
  std::raise(SIGINT);
  std::raise(SIGTERM);
  EXPECT_STREQ(interrupted(), "SIGTERM");
  clear_interrupt();
}

TEST(SignalsDeathTest, ASecondLaterEndsTheProcess) {
  const auto twice = [] {
    handle_signals(nullptr, OnSignal::note);
    clear_interrupt();
    std::raise(SIGTERM);
    usleep(600'000);
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(twice(), ::testing::KilledBySignal(SIGTERM), "stopping after this step");
}

TEST(PlainLines, WhatIsWrittenOverGoes) {
  PlainLines lines;
  EXPECT_EQ(lines.add("step 1\rstep 2\r"), "");
  EXPECT_EQ(lines.add("\nnext\r\n\n"), "step 2\nnext\n\n");
  EXPECT_EQ(lines.add("\x1b[1;31mred\x1b[0m and \x1b"), "");
  EXPECT_EQ(lines.add("[Kplain"), "");
  EXPECT_EQ(lines.rest(), "red and plain\n");
  EXPECT_EQ(lines.rest(), "");
}

TEST(PlainLines, AnEndlessLineIsCut) {
  PlainLines lines;
  EXPECT_EQ(lines.add(std::string(3 << 20, 'x')).size(), (3u << 20) + 1);
}

}  // namespace
}  // namespace gamut::script
