// The journal of a preparation, torn and damaged at every byte.
#include "data/prepare/journal.h"

#include "files/fault.h"
#include "support.h"

namespace gamut::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JournalTest : public InFolder {
 protected:
  void TearDown() override {
    files::set_faults("");
    InFolder::TearDown();
  }

  fs::path path() const { return folder_ / "journal"; }

  // The heads in the journal; `dropped` gets the bytes that opening it cut off.
  std::vector<std::string> heads(uint64_t* dropped = nullptr) const {
    std::vector<std::string> found;
    const Journal journal(
        path(), [&](std::string_view head, const Journal::Place&) { found.emplace_back(head); });
    if (dropped) *dropped = journal.dropped_bytes();
    return found;
  }

  // Three records, one without payload; returns the size after each.
  std::vector<size_t> write_three() const {
    std::vector<size_t> sizes = {0};
    Journal journal(path(), [](std::string_view, const Journal::Place&) {});
    const char* heads[] = {"plan", "one", "two"};
    const char* payloads[] = {"", "some bytes", "others"};
    for (int i = 0; i < 3; ++i) {
      journal.append(heads[i], payloads[i]);
      sizes.push_back(journal.bytes());
    }
    journal.sync();
    return sizes;
  }
};

TEST_F(JournalTest, GivesBackWhatWasWritten) {
  write_three();
  std::vector<Journal::Place> places;
  const Journal journal(
      path(), [&](std::string_view, const Journal::Place& place) { places.push_back(place); });
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(journal.read(places[1]).head, "one");
  EXPECT_EQ(journal.read(places[1]).payload, "some bytes");
  EXPECT_EQ(journal.read(places[0]).payload, "");
  EXPECT_EQ(journal.dropped_bytes(), 0u);
}

TEST_F(JournalTest, TornAtAnyByteKeepsTheRecordsBeforeAndGoesOn) {
  const auto sizes = write_three();
  const std::string whole = read_file(path());
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    write("journal", whole.substr(0, cut));
    size_t kept = 0;
    while (kept + 1 < sizes.size() && sizes[kept + 1] <= cut) ++kept;
    uint64_t dropped = 0;
    EXPECT_EQ(heads(&dropped).size(), kept) << "cut at byte " << cut;
    EXPECT_EQ(dropped, cut - sizes[kept]);
    EXPECT_EQ(fs::file_size(path()), sizes[kept]);
    Journal(path(), [](std::string_view, const Journal::Place&) {}).append("more", "x");
    EXPECT_EQ(heads().size(), kept + 1);
    EXPECT_EQ(heads().back(), "more");
  }
}

TEST_F(JournalTest, AFlippedBitEndsItThere) {
  const auto sizes = write_three();
  const std::string whole = read_file(path());
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] ^= 0x10;
    write("journal", damaged);
    size_t kept = 0;
    while (sizes[kept + 1] <= at) ++kept;
    EXPECT_EQ(heads().size(), kept) << "byte " << at;
  }
}

TEST_F(JournalTest, AClaimOfMoreThanThereIsReadsNothing) {
  write_three();
  std::string damaged = read_file(path());
  for (size_t i = 8; i < 24; ++i) damaged[i] = '\xff';
  write("journal", damaged);
  EXPECT_TRUE(heads().empty());
}

TEST_F(JournalTest, AFullDiskIsAnErrorAndLeavesWholeRecords) {
  write_three();
  Journal journal(path(), [](std::string_view, const Journal::Place&) {});
  files::set_faults("prepare.record:1=ENOSPC");
  EXPECT_THAT(sentence_of([&] { journal.append("four", "payload"); }),
              AllOf(HasSubstr("No space left"), HasSubstr("free some space")));
  journal.append("five", "");
  EXPECT_THAT(heads(), ElementsAre("plan", "one", "two", "five"));
}

TEST_F(JournalTest, ARecordThatReadsDifferentlyLaterIsRefused) {
  const auto sizes = write_three();
  std::vector<Journal::Place> places;
  const Journal journal(
      path(), [&](std::string_view, const Journal::Place& place) { places.push_back(place); });
  std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(sizes[2]) + 30);
  file.put('!');
  file.close();
  EXPECT_THAT(sentence_of([&] { journal.read(places[2]); }), HasSubstr("is damaged at byte"));
  EXPECT_EQ(journal.read(places[1]).payload, "some bytes");
}

}  // namespace
}  // namespace gamut::data
