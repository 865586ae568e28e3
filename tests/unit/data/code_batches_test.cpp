// Windows of codes to train on: chunks and crops, epochs, positions.
#include <set>

#include "codes_support.h"
#include "data/codes/batches.h"
#include "data/prefetch.h"

namespace gamut::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using CodeBatches = InCodesFolder;

// Windows as (item, begin, length).
using Windows = std::vector<std::tuple<int64_t, int64_t, int64_t>>;

// Each window's codes are compared with the item's on the way.
Windows windows_of(const CodeSet& set, const CodeBatch& batch) {
  Windows windows;
  for (int64_t row = 0; row < batch.codes.size(0); ++row) {
    const int64_t item = batch.items[row].item<int64_t>(),
                  begin = batch.starts[row].item<int64_t>();
    const int64_t length = batch.lengths[row].item<int64_t>(), frames = batch.codes.size(2);
    const at::Tensor right = codes_of(item, begin + length).narrow(1, begin, length);
    EXPECT_TRUE(at::equal(batch.codes[row].narrow(1, 0, length), right));
    EXPECT_TRUE((batch.codes[row].narrow(1, length, frames - length) == 1024).all().item<bool>());
    EXPECT_EQ(batch.ended[row].item<bool>(), begin + length == set.length(item));
    windows.emplace_back(item, begin, length);
  }
  return windows;
}

CodeBatchOptions options_of(int64_t batch, int64_t frames, int64_t minimum, CodeCut cut,
                            bool shuffled) {
  CodeBatchOptions options;
  options.batch = batch, options.frames = frames, options.minimum = minimum;
  options.cut = cut, options.shuffled = shuffled, options.seed = 5;
  return options;
}

TEST_F(CodeBatches, ChunksFollowEachOtherAndShortRestsAreLeftOut) {
  const auto set = set_of({10, 3, 1, 8}, 60);
  ASSERT_GT(set->shards().size(), 1U);
  const CodeBatchSource source(set, options_of(4, 4, 2, CodeCut::chunks, false));
  EXPECT_EQ(source.windows(), 6);
  EXPECT_EQ(source.items_left_out(), 1);
  const CodeBatch first = source.at(0);
  EXPECT_THAT(windows_of(*set, first), ElementsAre(std::tuple(0, 0, 4), std::tuple(0, 4, 4),
                                                   std::tuple(0, 8, 2), std::tuple(1, 0, 3)));
  EXPECT_EQ(first.position, 4);
  // Over the end of the epoch to the beginning.
  EXPECT_THAT(windows_of(*set, source.at(4)),
              ElementsAre(std::tuple(3, 0, 4), std::tuple(3, 4, 4), std::tuple(0, 0, 4),
                          std::tuple(0, 4, 4)));
  EXPECT_EQ(source.batches(), 2);
  EXPECT_THAT(windows_of(*set, source.of_epoch(1)),
              ElementsAre(std::tuple(3, 0, 4), std::tuple(3, 4, 4)));
}

TEST_F(CodeBatches, ShuffledEpochsHoldEveryChunkOnce) {
  const auto set = set_of({40, 33, 2, 27});
  const CodeBatchSource source(set, options_of(1, 4, 1, CodeCut::chunks, true));
  const auto epoch = [&](int64_t number) {
    Windows windows;
    for (int64_t i = 0; i < source.windows(); ++i) {
      windows.push_back(windows_of(*set, source.at(number * source.windows() + i))[0]);
    }
    return windows;
  };
  const Windows first = epoch(0), second = epoch(1);
  EXPECT_NE(first, second);
  EXPECT_EQ(std::set(first.begin(), first.end()), std::set(second.begin(), second.end()));
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), static_cast<size_t>(source.windows()));
}

TEST_F(CodeBatches, CropsLieAnywhereInTheItemAndMoveEveryEpoch) {
  const auto set = set_of({50, 3, 9, 16});
  const CodeBatchSource source(set, options_of(1, 8, 4, CodeCut::crops, false));
  EXPECT_EQ(source.windows(), 6 + 0 + 1 + 2);
  std::set<int64_t> begins[4];
  for (int64_t i = 0; i < 200 * source.windows(); ++i) {
    const auto [item, begin, length] = windows_of(*set, source.at(i))[0];
    EXPECT_EQ(length, 8);
    begins[item].insert(begin);
  }
  EXPECT_EQ(begins[0].size(), 43U);  // every place of 50 - 8 + 1
  EXPECT_EQ(begins[1].size(), 0U);
  EXPECT_EQ(begins[2].size(), 2U);
  EXPECT_EQ(begins[3].size(), 9U);
  const auto short_set = CodeBatchSource(set, options_of(1, 8, 2, CodeCut::crops, false));
  EXPECT_EQ(windows_of(*set, short_set.at(6))[0], std::tuple(1, 0, 3));
}

TEST_F(CodeBatches, PositionsDoNotDependOnBatchesAndQueues) {
  const auto set = set_of({40, 33, 2, 27});
  for (const CodeCut cut : {CodeCut::chunks, CodeCut::crops}) {
    const CodeBatchSource ones(set, options_of(1, 4, 1, cut, true));
    for (const int64_t depth : {0, 3}) {
      Prefetcher prefetcher(CodeBatchSource(set, options_of(3, 4, 1, cut, true)), depth);
      prefetcher.seek(7);
      for (int64_t position = 7; position < 70; position += 3) {
        const CodeBatch batch = prefetcher.next();
        for (int64_t row = 0; row < 3; ++row) {
          EXPECT_TRUE(at::equal(batch.codes[row], ones.at(position + row).codes[0]));
        }
        EXPECT_EQ(prefetcher.position(), position + 3);
      }
    }
  }
}

TEST_F(CodeBatches, WindowsThatCannotBeAreRefused) {
  const auto set = set_of({10, 3});
  const auto make = [&](int64_t batch, int64_t frames, int64_t minimum) {
    return sentence_of(
        [&] { CodeBatchSource(set, options_of(batch, frames, minimum, CodeCut::chunks, false)); });
  };
  EXPECT_THAT(make(0, 4, 1), HasSubstr("at least 1, got 0 and 4"));
  EXPECT_THAT(make(1, 4, 5), HasSubstr("is 1 to 4, not 5"));
  EXPECT_THAT(make(1, 20, 11), HasSubstr("from 2 items"));
}

}  // namespace
}  // namespace gamut::data
