// Saving and loading steps: what comes back, what is kept, what damage does.
#include "checkpoint/checkpoint.h"

#include "checkpoint/steps.h"
#include "support.h"

namespace gamut::checkpoint {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CheckpointTest : public FolderTest {
 protected:
  // Tensors and state that tell their step.
  SaveRequest request(int64_t step) {
    SaveRequest request;
    request.directory = folder_ / "checkpoints";
    request.step = step;
    request.files["model"] = {{"weight", at::full({40, 3}, static_cast<double>(step))}};
    request.files["optimizer"] = {{"exp_avg/weight", at::full({40, 3}, 0.5)},
                                  {"step", at::tensor(step, at::kLong)}};
    request.state = {{"step", step}, {"loss", 0.1 + static_cast<double>(step)}};
    return request;
  }
  Saved save(int64_t step, int64_t keep = 0, bool milestone = false) {
    SaveRequest r = request(step);
    r.keep = keep;
    r.milestone = milestone;
    return save_checkpoint(r);
  }
  Checkpoint load(std::optional<int64_t> step = std::nullopt, Verify verify = Verify::fast) {
    return load_checkpoint({folder_, step, verify, Loading::map});
  }
  std::vector<int64_t> steps() {
    std::vector<int64_t> found;
    for (const auto& info : list_checkpoints(folder_ / "checkpoints")) found.push_back(info.step);
    return found;
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_ / "checkpoints"))
      found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  fs::path step_path(int64_t step) { return folder_ / "checkpoints" / step_name(step); }
  void flip_bit(const fs::path& path, size_t bit) {
    std::string bytes = read_bytes(path);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    write_bytes(path, bytes);
  }
};

TEST_F(CheckpointTest, EverythingComesBack) {
  const Saved saved = save(7);
  EXPECT_EQ(saved.path, step_path(7));
  EXPECT_THAT(saved.warnings, IsEmpty());
  for (const fs::path& path : {folder_, folder_ / "checkpoints", step_path(7), step_path(7) / ""}) {
    const Checkpoint loaded = load_checkpoint({path, std::nullopt, Verify::full, Loading::map});
    EXPECT_EQ(loaded.step, 7);
    EXPECT_EQ(loaded.path, step_path(7));
    EXPECT_EQ(loaded.state, request(7).state);
    EXPECT_THAT(loaded.notes, IsEmpty());
    ASSERT_EQ(loaded.files.size(), 2U);
    EXPECT_TRUE(same(find(loaded.files.at("model"), "weight"), at::full({40, 3}, 7.0)));
    EXPECT_TRUE(same(find(loaded.files.at("optimizer"), "step"), at::tensor(7, at::kLong)));
  }
}

TEST_F(CheckpointTest, EqualStepsAreEqualBytes) {
  save(3);
  fs::rename(step_path(3), folder_ / "first");
  save(3);
  for (const auto& entry : fs::directory_iterator(folder_ / "first")) {
    EXPECT_EQ(read_bytes(entry.path()), read_bytes(step_path(3) / entry.path().filename()))
        << entry.path();
  }
}

TEST_F(CheckpointTest, OldStepsGoAndMilestonesStay) {
  for (int64_t step = 1; step <= 6; ++step) save(step, 2, step == 2);
  EXPECT_THAT(steps(), ElementsAre(2, 5, 6));
  EXPECT_THAT(names(), ElementsAre("step_000002", "step_000005", "step_000006"));
  save(7);
  EXPECT_THAT(steps(), ElementsAre(2, 5, 6, 7)) << "keep = 0 keeps all";
  save(8, 1, true);
  EXPECT_THAT(steps(), ElementsAre(2, 7, 8)) << "a milestone is kept besides";
}

TEST_F(CheckpointTest, TheStepAskedForIsLoadedOrNamed) {
  save(1);
  save(2);
  EXPECT_EQ(load(1).step, 1);
  EXPECT_THAT(error_of([&] { load(3); }),
              AllOf(HasSubstr("no checkpoint of step 3"), HasSubstr("steps 1, 2")));
  EXPECT_THAT(error_of([&] { load_checkpoint({step_path(1), 2, Verify::fast, Loading::map}); }),
              HasSubstr("is step 1, and step 2"));
  flip_bit(step_path(1) / "model.safetensors", 2000);
  EXPECT_THAT(error_of([&] { load(1); }), HasSubstr("model.safetensors is damaged"));
  EXPECT_THAT(error_of([&] { load_checkpoint({folder_ / "none"}); }),
              HasSubstr("there is no folder"));
  fs::create_directory(folder_ / "empty");
  EXPECT_THAT(error_of([&] { load_checkpoint({folder_ / "empty"}); }),
              HasSubstr("there is no checkpoint in"));
}

// Every bit of small files, and some of each file: the newest good step is found, with a reason.
TEST_F(CheckpointTest, FlippedBitsFallBackToTheStepBefore) {
  save(1);
  save(2);
  std::mt19937_64 random(3);
  for (const char* name :
       {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}) {
    const fs::path path = step_path(2) / name;
    const std::string good = read_bytes(path);
    for (int round = 0; round < 300; ++round) {
      flip_bit(path, random() % (8 * good.size()));
      const Checkpoint loaded = load();
      // White space of the manifest carries nothing; all else must be noticed.
      const bool harmless = std::string(name) == kManifestName && loaded.step == 2;
      if (!harmless) {
        ASSERT_EQ(loaded.step, 1) << name;
        ASSERT_THAT(loaded.notes,
                    ElementsAre(AllOf(HasSubstr("step 2 cannot be used"), HasSubstr(name),
                                      HasSubstr("going on from step 1"))));
      }
      EXPECT_TRUE(same(find(loaded.files.at("model"), "weight"),
                       at::full({40, 3}, static_cast<double>(loaded.step))));
      write_bytes(path, good);
    }
  }
  EXPECT_EQ(load().step, 2);
}

TEST_F(CheckpointTest, TruncatedAndMissingFilesFallBack) {
  save(1);
  save(2);
  for (const char* name :
       {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}) {
    const fs::path path = step_path(2) / name;
    const std::string good = read_bytes(path);
    for (size_t size = 0; size < good.size(); size += 1 + good.size() / 97) {
      write_bytes(path, good.substr(0, size));
      ASSERT_EQ(load().step, 1) << name << " cut to " << size;
    }
    fs::remove(path);
    EXPECT_EQ(load().step, 1) << name << " removed";
    write_bytes(path, good + "x");
    EXPECT_EQ(load().step, 1) << name << " grown";
    write_bytes(path, good);
  }
}

TEST_F(CheckpointTest, WhenNothingIsGoodEveryReasonIsGiven) {
  save(1);
  save(2);
  fs::remove(step_path(1) / "manifest.json");
  write_bytes(step_path(2) / "state.json", "{}");
  EXPECT_THAT(error_of([&] { load(); }),
              AllOf(HasSubstr("none of the checkpoints"), HasSubstr("step 2 cannot"),
                    HasSubstr("step 1 cannot"), HasSubstr("no manifest.json")));
}

TEST_F(CheckpointTest, ChangesThatKeepTheQuickHashNeedTheFullCheck) {
  save(1);
  Manifest manifest = read_manifest(step_path(1), 1);
  manifest.files["model.safetensors"].sha256[0] ^= 1;
  write_bytes(step_path(1) / kManifestName, manifest_text(manifest));
  EXPECT_EQ(load().step, 1);
  EXPECT_THAT(error_of([&] { load(1, Verify::full); }), HasSubstr("SHA-256"));
}

TEST_F(CheckpointTest, ManifestsThatLieAreRefused) {
  save(1);
  const Manifest good = read_manifest(step_path(1), 1);
  auto refusal = [&](const Manifest& manifest) {
    write_bytes(step_path(1) / kManifestName, manifest_text(manifest));
    return error_of([&] { load(1); });
  };
  Manifest manifest = good;
  manifest.step = 2;
  EXPECT_THAT(refusal(manifest), HasSubstr("is of step 2, and its folder says 1"));
  manifest = good;
  manifest.files["../../secret"] = {};
  EXPECT_THAT(refusal(manifest), HasSubstr("no name of a file in its folder"));
  manifest = good;
  manifest.files.erase("state.json");
  EXPECT_THAT(refusal(manifest), HasSubstr("has no state.json"));
  write_bytes(step_path(1) / kManifestName, "[]");
  EXPECT_THAT(error_of([&] { load(1); }), HasSubstr("manifest.json is damaged"));
  write_bytes(step_path(1) / kManifestName, R"({"format":"gamut.checkpoint","version":2})");
  EXPECT_THAT(error_of([&] { load(1); }), HasSubstr("format version 2"));
}

TEST_F(CheckpointTest, AGoodStepIsNeverOverwritten) {
  save(1);
  const std::string before = read_bytes(step_path(1) / "model.safetensors");
  SaveRequest other = request(1);
  other.files["model"][0].tensor = at::zeros({2});
  EXPECT_THAT(error_of([&] { save_checkpoint(other); }),
              AllOf(HasSubstr("step 1 was not saved"), HasSubstr("never overwritten"),
                    HasSubstr("step 1 is still there")));
  EXPECT_EQ(read_bytes(step_path(1) / "model.safetensors"), before);
}

TEST_F(CheckpointTest, ADamagedStepIsSetAsideWhenItsNameIsNeeded) {
  save(1);
  flip_bit(step_path(1) / "model.safetensors", 4000);
  save(1);
  EXPECT_EQ(load().step, 1);
  EXPECT_THAT(names(), ElementsAre("step_000001", "step_000001.damaged-1"));
}

TEST_F(CheckpointTest, GoingOnFromAnOlderStepSetsTheNewerOnesAside) {
  for (int64_t step = 1; step <= 3; ++step) save(step);
  EXPECT_EQ(supersede_after(folder_ / "checkpoints", 1).size(), 2U);
  EXPECT_THAT(steps(), ElementsAre(1));
  save(2);
  supersede_after(folder_ / "checkpoints", 1);
  EXPECT_THAT(names(), ElementsAre("step_000001", "step_000002.superseded-1",
                                   "step_000002.superseded-2", "step_000003.superseded-1"));
  EXPECT_EQ(load_checkpoint({folder_}).step, 1);
}

TEST_F(CheckpointTest, LeftoversAreSweptAndOtherThingsAreNot) {
  save(1);
  for (const char* name :
       {"step_000002.tmp", "step_000001.pruned.tmp", "notes", "step_x", "step_2"}) {
    fs::create_directories(folder_ / "checkpoints" / name / "inner");
  }
  EXPECT_THAT(steps(), ElementsAre(1));
  save(2);
  EXPECT_THAT(names(), ElementsAre("notes", "step_000001", "step_000002", "step_2", "step_x"));
  fs::create_directories(folder_ / "checkpoints" / "step_000003.tmp");
  supersede_after(folder_ / "checkpoints", 2);
  EXPECT_THAT(names(), ElementsAre("notes", "step_000001", "step_000002", "step_2", "step_x"));
}

TEST_F(CheckpointTest, TwoProcessesDoNotShareAFolder) {
  save(1);
  const FolderLock other(folder_ / "checkpoints");
  EXPECT_THAT(error_of([&] { save(2); }),
              AllOf(HasSubstr("another process is saving"), HasSubstr("step 1 is still there")));
}

TEST_F(CheckpointTest, RequestsThatMakeNoSenseAreRefused) {
  auto refusal = [&](auto change) {
    SaveRequest r = request(1);
    change(r);
    return error_of([&] { save_checkpoint(r); });
  };
  EXPECT_THAT(refusal([](auto& r) { r.step = -1; }), HasSubstr("must not be negative"));
  EXPECT_THAT(refusal([](auto& r) { r.keep = -1; }), HasSubstr("keep must be"));
  EXPECT_THAT(refusal([](auto& r) { r.files.clear(); }), HasSubstr("no files"));
  EXPECT_THAT(refusal([](auto& r) { r.files["../x"] = {}; }),
              HasSubstr("`../x` cannot be the name"));
  EXPECT_THAT(refusal([](auto& r) { r.state = "\xff"; }), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(steps(), IsEmpty());
}

TEST(StepNames, HaveOneSpelling) {
  EXPECT_EQ(step_name(123), "step_000123");
  EXPECT_EQ(step_name(12345678), "step_12345678");
  EXPECT_EQ(parse_step_name("step_000123"), 123);
  EXPECT_EQ(parse_step_name("step_12345678"), 12345678);
  for (const char* name :
       {"step_123", "step_0000123", "step_", "step_-00001", "step_+00001", "step_000123.tmp",
        "step_00012x", "Step_000123", "step_99999999999999999999"}) {
    EXPECT_EQ(parse_step_name(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace gamut::checkpoint
