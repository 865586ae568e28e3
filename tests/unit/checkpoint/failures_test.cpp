// The disk full, limits, failing flushes, short writes and death at every fault point: an error in
// words or a dead process, and always the last good step.
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

#include "checkpoint/checkpoint.h"
#include "files/fault.h"
#include "support.h"

namespace gamut::checkpoint {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

SaveRequest request(const fs::path& folder, int64_t step, int64_t size = 1000) {
  SaveRequest request;
  request.directory = folder / "checkpoints";
  request.step = step;
  request.keep = 2;
  request.files["model"] = {{"weight", at::full({size}, static_cast<double>(step))}};
  request.files["rng"] = {{"cpu", at::zeros({64}, at::kByte)}};
  request.state = {{"step", step}};
  return request;
}

// The newest step, fully verified, and holding what was saved as it.
int64_t newest_good(const fs::path& folder) {
  const Checkpoint loaded = load_checkpoint({folder, std::nullopt, Verify::full, Loading::copy});
  const at::Tensor& weight = find(loaded.files.at("model"), "weight");
  EXPECT_TRUE(same(weight, at::full_like(weight, static_cast<double>(loaded.step))));
  return loaded.step;
}

class Failures : public FolderTest {
 protected:
  ~Failures() override { files::set_faults(""); }

  // The error of saving step 3 after two good ones, which must still be there; then it can be
  // saved.
  std::string failed_save(const char* fault_points) {
    save_checkpoint(request(folder_, 1));
    save_checkpoint(request(folder_, 2));
    files::set_faults(fault_points);
    const std::string message = error_of([&] { save_checkpoint(request(folder_, 3)); });
    files::set_faults("");
    EXPECT_EQ(newest_good(folder_), 2);
    EXPECT_EQ(list_checkpoints(folder_ / "checkpoints").size(), 2U);
    EXPECT_FALSE(fs::exists(folder_ / "checkpoints" / "step_000003.tmp"));
    save_checkpoint(request(folder_, 3));
    EXPECT_EQ(newest_good(folder_), 3);
    fs::remove_all(folder_ / "checkpoints");
    return message;
  }
};

TEST_F(Failures, EveryOperationThatFailsIsSaidAndHarmless) {
  for (const char* point :
       {"file.open:1", "file.open:3", "file.reserve:1", "file.reserve:2", "file.write:1",
        "file.write:4", "file.fsync:1", "file.fsync:3", "file.close:1", "file.close:4",
        "checkpoint.begin:1", "checkpoint.manifest:1", "checkpoint.rename:1",
        // The parent of the folder first, then the staged step.
        "file.folder:1", "file.folder:2"}) {
    const std::string message = failed_save((std::string(point) + "=ENOSPC").c_str());
    EXPECT_THAT(message, AllOf(HasSubstr("the checkpoint of step 3 was not saved"),
                               HasSubstr("No space left"), HasSubstr("free some space"),
                               HasSubstr("step 2 is still there")))
        << point;
  }
  EXPECT_THAT(failed_save("file.fsync:1=EIO"), HasSubstr("Input/output error"));
  EXPECT_THAT(failed_save("file.write:2=EDQUOT"), HasSubstr("quota"));
}

TEST_F(Failures, ShortWritesAreContinued) {
  files::set_faults("file.write:1=SHORT,file.write:2=SHORT,file.write:4=SHORT,file.write:7=SHORT");
  save_checkpoint(request(folder_, 5));
  EXPECT_EQ(newest_good(folder_), 5);
}

TEST_F(Failures, AnOldStepThatCannotBeRemovedIsAWarning) {
  save_checkpoint(request(folder_, 1));
  save_checkpoint(request(folder_, 2));
  files::set_faults("checkpoint.prune:1=EACCES");
  const Saved saved = save_checkpoint(request(folder_, 3));
  EXPECT_THAT(saved.warnings,
              testing::ElementsAre(AllOf(HasSubstr("cannot"), HasSubstr("step_000001"),
                                         HasSubstr("Permission denied"))));
  EXPECT_EQ(newest_good(folder_), 3);
}

// Runs in a child so that limits, mounts and deaths are its own; returns the wait status.
template <class Action>
int in_child(Action action) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      _exit(action());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(99);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(Failures, DeathAtEveryPointLeavesAGoodStep) {
  for (const char* point :
       {"file.open", "file.reserve", "file.write", "file.fsync", "file.close", "file.folder",
        "checkpoint.begin", "checkpoint.manifest", "checkpoint.rename", "checkpoint.renamed",
        "checkpoint.prune", "checkpoint.remove", "checkpoint.done"}) {
    int deaths = 0;
    for (bool died = true; died; deaths += died) {
      save_checkpoint(request(folder_, 1));
      save_checkpoint(request(folder_, 2));
      const int status = in_child([&] {
        files::set_faults(c10::str(point, ":", deaths + 1).c_str());
        save_checkpoint(request(folder_, 3));
        return 0;
      });
      died = WIFSIGNALED(status);
      EXPECT_TRUE(died ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0) << status;
      const int64_t newest = newest_good(folder_);
      EXPECT_TRUE(newest == 3 || (died && newest == 2)) << point << ":" << deaths + 1;
      save_checkpoint(request(folder_, 4));
      EXPECT_EQ(newest_good(folder_), 4);
      for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints")) {
        EXPECT_NE(entry.path().extension(), ".tmp") << point << " left " << entry.path();
      }
      fs::remove_all(folder_ / "checkpoints");
    }
    EXPECT_GT(deaths, 0) << point << " is never passed";
  }
}

TEST_F(Failures, AFileSizeLimitIsAnErrorNotADeath) {
  save_checkpoint(request(folder_, 1));
  const int status = in_child([&] {
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message = error_of([&] { save_checkpoint(request(folder_, 2, 100'000)); });
    EXPECT_THAT(message, AllOf(HasSubstr("File too large"), HasSubstr("ulimit"),
                               HasSubstr("step 1 is still there")));
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(newest_good(folder_), 1);
}

// The same where the file system cannot reserve and the limit is met in the middle of a write.
TEST_F(Failures, AFileSizeLimitMetWhileWritingIsAnErrorToo) {
  const int status = in_child([&] {
    const rlimit limit{100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    files::OutputFile file(folder_ / "large");
    const std::string bytes(200'000, 'x');
    const std::string message = error_of([&] { file.write(bytes.data(), bytes.size()); });
    EXPECT_THAT(message, HasSubstr("File too large"));
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// A small file system of its own, where this user may mount one.
class SmallDisk : public FolderTest {
 protected:
  void SetUp() override {
    if (mount("tmpfs", folder_.c_str(), "tmpfs", 0, "size=256k") != 0) {
      GTEST_SKIP() << "mounting a tmpfs needs root: " << std::strerror(errno);
    }
    mounted_ = true;
  }
  ~SmallDisk() override {
    if (mounted_) umount(folder_.c_str());
  }
  bool mounted_ = false;
};

TEST_F(SmallDisk, FullIsSaidAndTheLastStepStays) {
  save_checkpoint(request(folder_, 1));
  for (int64_t size : {100'000, 20'000, 40'000}) {
    SaveRequest large = request(folder_, 2, size);
    large.files["optimizer"] = {{"m", at::zeros({size * 2})}};
    EXPECT_THAT(error_of([&] { save_checkpoint(large); }),
                AllOf(HasSubstr("No space left"), HasSubstr("step 1 is still there")));
    EXPECT_EQ(newest_good(folder_), 1);
  }
  save_checkpoint(request(folder_, 2));
  EXPECT_EQ(newest_good(folder_), 2);
}

TEST_F(SmallDisk, ReadOnlyIsSaidAndLoadingStillWorks) {
  save_checkpoint(request(folder_, 1));
  ASSERT_EQ(mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_THAT(error_of([&] { save_checkpoint(request(folder_, 2)); }),
              AllOf(HasSubstr("Read-only file system"), HasSubstr("make the folder writable"),
                    HasSubstr("step 1 is still there")));
  EXPECT_EQ(newest_good(folder_), 1);
}

TEST_F(Failures, AFolderThatMayNotBeWrittenIsSaid) {
  if (geteuid() == 0)
    GTEST_SKIP() << "root may write everywhere; SmallDisk tries a read-only mount";
  save_checkpoint(request(folder_, 1));
  fs::permissions(folder_ / "checkpoints", fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(error_of([&] { save_checkpoint(request(folder_, 2)); }),
              AllOf(HasSubstr("Permission denied"), HasSubstr("make the folder writable")));
  EXPECT_EQ(newest_good(folder_), 1);
  fs::permissions(folder_ / "checkpoints", fs::perms::owner_all);
}

TEST(FaultPoints, AreCheckedWhenTheyAreNamed) {
  auto refusal = [](const char* text) { return error_of([&] { files::set_faults(text); }); };
  EXPECT_THAT(
      refusal("checkpoint.renam:1"),
      AllOf(HasSubstr("unknown fault point `checkpoint.renam`"), HasSubstr("checkpoint.rename")));
  EXPECT_THAT(refusal("file.write:0"), HasSubstr("`0` is no passing"));
  EXPECT_THAT(refusal("file.write:x"), HasSubstr("`x` is no passing"));
  EXPECT_THAT(refusal("file.write:1=EWHAT"), HasSubstr("unknown error `EWHAT`"));
  EXPECT_THAT(refusal("file.open:1=SHORT"), HasSubstr("only file.write can be SHORT"));
  files::set_faults("");
}

}  // namespace
}  // namespace gamut::checkpoint
