// Preparing data: the same bytes whatever the workers and the interruptions, and what is refused.
#include "data/prepare/prepare.h"

#include <chrono>
#include <thread>

#include "data/prepare/folder.h"
#include "data/prepare/walk.h"
#include "data/shard.h"
#include "files/fault.h"
#include "support.h"

namespace gamut::data {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file's bytes are its tokens; a file that begins with "bad" cannot be used, one of "die" ends
// all.
class BytesWork : public UnitWork {
 public:
  explicit BytesWork(int setting = 1) : setting_(setting) {}
  json description() const override { return {{"work", {{"setting", setting_}}}}; }

  UnitResult run(const Unit& unit, UnitContext& context) const override {
    ++runs;
    context.check();
    const std::string text = read_file(unit.path);
    // Short and long ones, so that results come in another order than the units.
    std::this_thread::sleep_for(std::chrono::microseconds(text.size() % 7 * 300));
    if (text.rfind("bad", 0) == 0) throw Error("it is bad");
    if (text.rfind("die", 0) == 0) throw std::bad_alloc();
    UnitResult result;
    result.parts.push_back({unit.split, {text.begin(), text.end()}, {{"name", unit.name}}});
    result.source = {{"size", text.size()}};
    return result;
  }

  std::unique_ptr<ShardSink> new_sink(const fs::path& folder) const override {
    struct Sink final : ShardSink {
      explicit Sink(const fs::path& folder)
          : train(folder, "train", 256, 100), val(folder, "val", 256, 100) {}
      void add(const Unit&, Part part) override {
        const std::vector<int64_t> ids(part.tokens.begin(), part.tokens.end());
        (part.split == "val" ? val : train).append(ids.data(), static_cast<int64_t>(ids.size()));
      }
      json finish() override {
        train.finish();
        val.finish();
        return {{"train", {{"tokens", train.tokens()}}}, {"val", {{"tokens", val.tokens()}}}};
      }
      ShardWriter train, val;
    };
    return std::make_unique<Sink>(folder);
  }

  mutable std::atomic<int> runs{0};

 private:
  int setting_;
};

class PrepareTest : public InFolder {
 protected:
  static constexpr int kUnits = 40;

  void SetUp() override {
    InFolder::SetUp();
    for (int i = 0; i < kUnits; ++i) {
      write(name_of(i),
            i % 10 == 3 ? "bad one" : std::string(static_cast<size_t>(i * 7 % 31), 'a'));
    }
  }
  void TearDown() override {
    files::set_faults("");
    InFolder::TearDown();
  }

  static std::string name_of(int i) { return c10::str("raw/", i, ".txt"); }

  std::vector<Unit> units() const {
    std::vector<Unit> list;
    for (int i = 0; i < kUnits; ++i) {
      Unit unit;
      unit.name = name_of(i);
      unit.path = folder_ / unit.name;
      unit.split = i % 5 == 0 ? "val" : "train";
      list.push_back(unit);
    }
    return list;
  }

  PrepareOptions options(const std::string& out, int workers = 2) const {
    PrepareOptions made;
    made.out = folder_ / out;
    made.workers = workers;
    made.request = {{"recipe", "test"}};
    return made;
  }

  Prepared run(const std::string& out, int workers = 2) {
    return prepare(units(), work_, options(out, workers));
  }

  // Everything in a folder, by name.
  std::map<std::string, std::string> contents(const std::string& out) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / out)) {
      if (entry.is_regular_file()) {
        files[fs::relative(entry.path(), folder_ / out)] = read_file(entry.path());
      }
    }
    return files;
  }

  BytesWork work_;
};

TEST_F(PrepareTest, TheBytesDoNotDependOnTheNumberOfWorkers) {
  run("one", 1);
  const auto expected = contents("one");
  EXPECT_TRUE(expected.count("manifest.json") && expected.count("train_000000.bin"));
  for (int workers : {2, 3, 8}) {
    run("many", workers);
    EXPECT_EQ(contents("many"), expected) << workers << " workers";
    fs::remove_all(folder_ / "many");
  }
}

TEST_F(PrepareTest, ManifestAndListsTellWhatWasMade) {
  const json manifest = run("out").manifest;
  EXPECT_EQ(manifest["units"]["used"], kUnits - 4);
  EXPECT_EQ(manifest["units"]["skipped"], 4);
  EXPECT_EQ(manifest["work"]["setting"], 1);
  EXPECT_EQ(read_manifest(folder_ / "out"), manifest);
  for (const auto& [name, file] : manifest["files"].items()) {
    const std::string bytes = read_file(folder_ / "out" / name);
    EXPECT_EQ(file["sha256"], files::sha256_hex(bytes.data(), bytes.size())) << name;
  }
  std::ifstream skipped(folder_ / "out" / "skipped.jsonl");
  std::string line;
  std::getline(skipped, line);
  EXPECT_EQ(json::parse(line)["name"], "raw/3.txt");
  EXPECT_EQ(json::parse(line)["reason"], "it is bad");
}

TEST_F(PrepareTest, StoppedAnywhereItGoesOnWithoutDoingAnythingTwice) {
  run("whole");
  const auto expected = contents("whole");
  for (int after : {0, 1, 5, 17, 39}) {
    work_.runs = 0;
    PrepareOptions stopping = options("stopped", 3);
    int64_t done = 0;
    stopping.progress = [&](const PrepareProgress& at) { done = at.units_done; };
    stopping.stop = [&] { return work_.runs >= after; };
    EXPECT_THROW(prepare(units(), work_, stopping), Interrupted);
    const int began = work_.runs;
    EXPECT_LT(began, kUnits + 1);
    run("stopped", 3);
    // What was under way at the stop, at most one a worker and one waiting, is done again.
    EXPECT_LE(work_.runs, kUnits + 3 + 4);
    EXPECT_EQ(contents("stopped"), expected);
    fs::remove_all(folder_ / "stopped");
  }
}

TEST_F(PrepareTest, FailsAtEveryPointAndGoesOn) {
  run("whole");
  const auto expected = contents("whole");
  for (const char* point :
       {"prepare.record:1", "prepare.record:20", "prepare.recorded:7", "prepare.sync:1",
        "prepare.shards:1", "prepare.rename:1", "prepare.rename:3", "prepare.manifest:1",
        "file.write:2", "file.fsync:2", "prepare.done:1"}) {
    files::set_faults(c10::str(point, "=ENOSPC").c_str());
    EXPECT_THAT(sentence_of([&] { run("failed"); }), HasSubstr("No space left")) << point;
    files::set_faults("");
    run("failed");
    EXPECT_EQ(contents("failed"), expected) << point;
    fs::remove_all(folder_ / "failed");
  }
}

TEST_F(PrepareTest, FinishedIsLeftAlone) {
  EXPECT_FALSE(run("out").already);
  work_.runs = 0;
  EXPECT_TRUE(run("out").already);
  EXPECT_EQ(work_.runs, 0);
  const BytesWork other(2);
  EXPECT_THAT(sentence_of([&] { prepare(units(), other, options("out")); }),
              AllOf(HasSubstr("was prepared with other settings"),
                    HasSubstr("`work.setting` was 1 and is 2 now")));
}

TEST_F(PrepareTest, OtherSettingsOnResumeAreRefused) {
  files::set_faults("prepare.shards:1=EIO");
  EXPECT_THROW(run("out"), Error);
  files::set_faults("");
  const BytesWork other(2);
  EXPECT_THAT(sentence_of([&] { prepare(units(), other, options("out")); }),
              AllOf(HasSubstr("was begun with other settings"),
                    HasSubstr("`work.setting` was 1 and is 2 now")));
}

TEST_F(PrepareTest, AFileThatChangedIsDoneAgain) {
  files::set_faults("prepare.shards:1=EIO");
  EXPECT_THROW(run("out"), Error);
  files::set_faults("");
  write(name_of(6), "changed meanwhile");
  write(name_of(3), "good now");
  work_.runs = 0;
  std::string note;
  PrepareOptions resumed = options("out");
  resumed.note = [&](const std::string& text) { note = text; };
  prepare(units(), work_, resumed);
  EXPECT_EQ(work_.runs, 2);
  EXPECT_THAT(note, HasSubstr("2 items changed"));
  run("fresh");
  EXPECT_EQ(contents("out"), contents("fresh"));
}

TEST_F(PrepareTest, TooManyUnusableItemsAreAnError) {
  PrepareOptions strict = options("out");
  strict.max_skipped = 0.05;
  EXPECT_THAT(sentence_of([&] { prepare(units(), work_, strict); }),
              AllOf(HasSubstr("of 40 items could not be used"), HasSubstr("max_skipped"),
                    HasSubstr("it is bad")));
  run("out");  // with the default it goes on
  for (int i = 0; i < kUnits; ++i) write(name_of(i), "bad");
  PrepareOptions all = options("all");
  all.max_skipped = 1;
  EXPECT_THAT(sentence_of([&] { prepare(units(), work_, all); }), HasSubstr("that is all of them"));
  work_.runs = 0;
  all.retry_skipped = true;
  EXPECT_THROW(prepare(units(), work_, all), Error);
  EXPECT_EQ(work_.runs, kUnits);
}

TEST_F(PrepareTest, MemoryThatRunsOutIsNoFaultOfTheFile) {
  write(name_of(20), "die");
  EXPECT_THAT(sentence_of([&] { run("out"); }),
              AllOf(HasSubstr("memory ran out"), HasSubstr("raw/20.txt")));
}

TEST_F(PrepareTest, AFolderThatHoldsSomethingElseIsRefused) {
  write("out/thesis.tex", "years of work");
  EXPECT_THAT(sentence_of([&] { run("out"); }), HasSubstr("holds thesis.tex"));
  EXPECT_EQ(read_file(folder_ / "out/thesis.tex"), "years of work");
}

TEST_F(PrepareTest, TwoProcessesInOneFolderAreRefused) {
  const PrepareFolder other(folder_ / "out");
  EXPECT_THAT(sentence_of([&] { run("out"); }), HasSubstr("another process is preparing"));
}

TEST_F(PrepareTest, WrongUnitsAreRefused) {
  EXPECT_THAT(sentence_of([&] { prepare({}, work_, options("out")); }), HasSubstr("no items"));
  auto list = units();
  list[4].name = list[2].name;
  EXPECT_THAT(sentence_of([&] { prepare(list, work_, options("out")); }),
              HasSubstr("two items are called `raw/2.txt`"));
  list = units();
  list[0].split = "valid";
  EXPECT_THAT(sentence_of([&] { prepare(list, work_, options("out")); }),
              HasSubstr("splits are train, val and test"));
}

TEST_F(PrepareTest, ADamagedManifestIsTold) {
  run("out");
  write("out/manifest.json", "{\"format\": ");
  EXPECT_THAT(sentence_of([&] { run("out"); }), HasSubstr("damaged"));
}

TEST_F(PrepareTest, NamesThatAreNotUtf8AreKept) {
  write("raw/caf\xe9.txt", "latin");
  auto list = units();
  list[0].path = folder_ / "raw/caf\xe9.txt";
  list[0].name = "caf\xe9.txt";
  files::set_faults("prepare.shards:1=EIO");
  EXPECT_THROW(prepare(list, work_, options("out")), Error);
  files::set_faults("");
  work_.runs = 0;
  prepare(list, work_, options("out"));
  EXPECT_EQ(work_.runs, 0);
}

TEST_F(PrepareTest, WalkFindsFilesByEndingInOrder) {
  write("tree/b/2.WAV", "");
  write("tree/b/1.wav", "");
  write("tree/a.mp3", "");
  write("tree/.hidden/x.wav", "");
  write("tree/notes.txt", "");
  EXPECT_THAT(walk_files(folder_ / "tree", {".wav", ".mp3"}),
              ElementsAre("a.mp3", "b/1.wav", "b/2.WAV"));
  EXPECT_THAT(sentence_of([&] { walk_files(folder_ / "none", {".wav"}); }),
              HasSubstr("there is no folder"));
}

}  // namespace
}  // namespace gamut::data
