// A child process that ends badly becomes a sentence.
#include "plugin_host/child.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "plugin_host/scaffold.h"
#include "test_plugins.h"

namespace gamut::host {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Child, GivesTheExitCode) {
  const auto result = run_in_child([](LastOperation&) { return 7; }, 10);
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.problem, "");
}

TEST(Child, CrashNamesSignalAndOperation) {
  const auto result = run_in_child(
      [](LastOperation& operation) {
        operation.set("tightrope walking");
        return std::raise(SIGSEGV);
      },
      10);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.problem,
              AllOf(HasSubstr("Segmentation fault"), HasSubstr("tightrope walking")));
}

TEST(Child, Timeout) {
  const auto result = run_in_child(
      [](LastOperation&) {
        for (;;) ::pause();
        return 0;
      },
      1);
  EXPECT_THAT(result.problem, HasSubstr("did not end within 1 seconds"));
}

TEST(Child, ExceptionIsAFailure) {
  EXPECT_EQ(run_in_child([](LastOperation&) -> int { throw Error("no"); }, 10).exit_code, 1);
}

TEST(Child, PluginThatCallsExitDidNotSucceed) {
  const auto result = run_in_child([](LastOperation&) -> int { ::_exit(0); }, 10);
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.problem, HasSubstr("ended the process by itself"));
}

TEST(Scaffold, RefusesBadNamesAndKinds) {
  TemporaryFolder folder;
  auto refusal = [&](const char* kind, const char* name) {
    return error_of([&] { write_scaffold(kind, name, folder.path); });
  };
  for (const char* name : {"", "My", "1st", "a-b", "../x", "a b"}) {
    EXPECT_THAT(refusal("mixer", name), HasSubstr("cannot be the name")) << name;
  }
  EXPECT_THAT(refusal("mixr", "x"), HasSubstr("did you mean `mixer`?"));
  EXPECT_EQ(refusal("mixer", "twice"), "");
  EXPECT_THAT(refusal("mixer", "twice"), HasSubstr("is there already"));
}

TEST(Scaffold, LeavesNoMarksAndStaysShort) {
  TemporaryFolder folder;
  for (const char* kind : {"mixer", "tokenizer", "optimizer"}) {
    const auto made = write_scaffold(kind, std::string("my_") + kind, folder.path);
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(made)) {
      std::ifstream in(entry.path());
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      EXPECT_EQ(text.find('@'), std::string::npos) << entry.path();
      if (std::string(kind) == "mixer" && entry.path().extension() == ".cpp") {
        EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 60);
      }
      ++files;
    }
    EXPECT_EQ(files, 4u);
  }
}

}  // namespace
}  // namespace gamut::host
