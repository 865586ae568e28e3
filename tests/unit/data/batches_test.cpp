// Which tokens a batch holds: the golf stream, the shuffle, validation windows, prefetching,
// resume.
#include <set>

#include "data/permutation.h"
#include "data/prefetch.h"
#include "support.h"

namespace gamut::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Batches : public InFolder {
 protected:
  std::shared_ptr<const TokenSet> counting(int64_t tokens, int64_t vocab_size = kMaxVocabulary) {
    return std::make_shared<TokenSet>(write_counting(folder_, tokens, 7), vocab_size);
  }
};

BatchOptions options(int64_t batch, int64_t context, bool shuffled, uint64_t seed = 1) {
  return {batch, context, shuffled, seed};
}

TEST(Permutation, IsABijectionOfManySizes) {
  std::vector<uint64_t> sizes = {1023, 1024, 1025, 4096, 99'991, 262'145};
  for (uint64_t n = 1; n <= 70; ++n) sizes.push_back(n);
  for (const uint64_t n : sizes) {
    for (const uint64_t key : {0ull, 1ull, 0xFFFFFFFFFFFFFFFFull}) {
      const Permutation order(n, key);
      std::vector<bool> seen(n, false);
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t image = order(i);
        ASSERT_LT(image, n);
        ASSERT_FALSE(seen[image]) << "size " << n << ", key " << key;
        seen[image] = true;
      }
    }
  }
}

TEST(Permutation, HandlesSizesThatNoMemoryHolds) {
  const uint64_t n = (uint64_t{1} << 50) + 12345;
  const Permutation order(n, 3);
  std::set<uint64_t> images;
  for (uint64_t i = 0; i < 10'000; ++i) images.insert(order(i));
  EXPECT_EQ(images.size(), 10'000u);
  EXPECT_LT(*images.rbegin(), n);
  EXPECT_GT(*images.rbegin(), n - n / 100);
}

// Neighbours end up far apart, and every place is taken by about equally many: a chi-square test of
// 16 x 16 cells, whose value has mean 225 and standard deviation 21.
TEST(Permutation, LooksRandom) {
  const uint64_t n = 65'521;
  double chi_square = 0;
  std::vector<double> cells(256, 0);
  const Permutation order(n, 12);
  for (uint64_t i = 0; i < n; ++i) cells[(i * 16 / n) * 16 + order(i) * 16 / n] += 1;
  const double expected = static_cast<double>(n) / 256;
  for (double count : cells) chi_square += (count - expected) * (count - expected) / expected;
  EXPECT_GT(chi_square, 225 - 5 * 21);
  EXPECT_LT(chi_square, 225 + 5 * 21);
}

TEST_F(Batches, SequentialTakesOneTokenMoreThanItServesAndWraps) {
  const BatchSource source(counting(10), options(2, 2, false));
  const Batch first = source.at(0);
  EXPECT_THAT(to_vector(first.x), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(to_vector(first.y), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(first.x.sizes(), ElementsAre(2, 2));
  EXPECT_EQ(first.position, 5);
  EXPECT_THAT(to_vector(source.at(5).x), ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(to_vector(source.at(8).x), ElementsAre(8, 9, 0, 1));
  EXPECT_THAT(to_vector(source.at(8).y), ElementsAre(9, 0, 1, 2));
}

TEST_F(Batches, ShuffledVisitsEachWindowOnceAnEpochInAnotherOrderEach) {
  const int64_t context = 3;
  const BatchSource source(counting(100), options(1, context, true));
  ASSERT_EQ(source.windows(), 33);
  std::vector<std::vector<int64_t>> epochs(2);
  for (int64_t i = 0; i < 66; ++i) {
    const Batch batch = source.at(i);
    const auto x = to_vector(batch.x);
    EXPECT_EQ(x[0] % context, 0);
    EXPECT_THAT(x, ElementsAre(x[0], x[0] + 1, x[0] + 2));
    EXPECT_THAT(to_vector(batch.y), ElementsAre(x[0] + 1, x[0] + 2, x[0] + 3));
    epochs[static_cast<size_t>(i / 33)].push_back(x[0] / context);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    for (int64_t w = 0; w < 33; ++w) EXPECT_EQ(epoch[static_cast<size_t>(w)], w);
  }
}

TEST_F(Batches, ShuffleFollowsTheSeedAndNotTheBatchSize) {
  const auto set = counting(100);
  const auto rows = [&](int64_t batch, uint64_t seed) {
    const BatchSource source(set, options(batch, 3, true, seed));
    std::vector<int64_t> all;
    for (int64_t position = 0; position < 60; position += batch) {
      for (int64_t token : to_vector(source.at(position).x)) all.push_back(token);
    }
    return all;
  };
  EXPECT_EQ(rows(1, 5), rows(4, 5)) << "also across the end of an epoch";
  EXPECT_NE(rows(1, 5), rows(1, 6));
}

TEST_F(Batches, RefusesSizesThatMakeNoSense) {
  const auto set = counting(8);
  EXPECT_THAT(sentence_of([&] { BatchSource(set, options(0, 3, false)); }),
              HasSubstr("at least 1"));
  EXPECT_THAT(sentence_of([&] { BatchSource(set, options(1, 8, true)); }),
              HasSubstr("a window of 8 tokens needs 9"));
  EXPECT_EQ(sentence_of([&] { BatchSource(set, options(1, 7, true)); }), "nothing thrown");
  EXPECT_THAT(sentence_of([&] { BatchSource(set, options(1, 3, true)).at(-1); }),
              HasSubstr("position"));
}

TEST_F(Batches, ValidationWindowsAreDisjointAndInOrder) {
  const auto set = counting(24);  // 23 predictions, so 5 windows of 4 and three tokens left over
  const ValidationWindows windows(set, 2, 4, 0);
  EXPECT_EQ(windows.windows(), 5);
  EXPECT_EQ(windows.tokens(), 20);
  ASSERT_EQ(windows.batches(), 3);
  EXPECT_THAT(to_vector(windows.at(1).x), ElementsAre(8, 9, 10, 11, 12, 13, 14, 15));
  EXPECT_THAT(to_vector(windows.at(1).y), ElementsAre(9, 10, 11, 12, 13, 14, 15, 16));
  EXPECT_THAT(windows.at(2).x.sizes(), ElementsAre(1, 4));
  EXPECT_THAT(to_vector(windows.at(2).y), ElementsAre(17, 18, 19, 20));
  EXPECT_THROW(windows.at(3), Error);
  EXPECT_EQ(ValidationWindows(set, 2, 4, 11).windows(), 2);
  EXPECT_EQ(ValidationWindows(set, 2, 4, 1).windows(), 1);
  EXPECT_EQ(ValidationWindows(set, 2, 4, 1000).windows(), 5);
  EXPECT_EQ(ValidationWindows(counting(21), 2, 4, 0).windows(), 5)
      << "the last target is the last token";
}

class Prefetching : public Batches, public ::testing::WithParamInterface<bool> {};

TEST_P(Prefetching, ServesTheSameAtAnyDepth) {
  const auto set = counting(50);
  std::vector<std::vector<int64_t>> served;
  std::vector<int64_t> positions;
  for (const int64_t depth : {0, 1, 2, 9}) {
    Prefetcher prefetcher(BatchSource(set, options(2, 3, GetParam())), depth);
    std::vector<int64_t> tokens;
    for (int i = 0; i < 40; ++i) {
      const Batch batch = prefetcher.next();
      for (int64_t token : to_vector(at::cat({batch.x, batch.y}))) tokens.push_back(token);
    }
    served.push_back(std::move(tokens));
    positions.push_back(prefetcher.position());
  }
  for (size_t i = 1; i < served.size(); ++i) {
    EXPECT_EQ(served[i], served[0]);
    EXPECT_EQ(positions[i], positions[0]);
  }
}

TEST_P(Prefetching, ResumesExactlyFromEveryPosition) {
  const auto set = counting(50);
  Prefetcher whole(BatchSource(set, options(2, 3, GetParam())), 3);
  std::vector<int64_t> positions;
  std::vector<std::vector<int64_t>> batches;
  for (int i = 0; i < 24; ++i) {
    positions.push_back(whole.position());
    batches.push_back(to_vector(whole.next().x));
  }
  Prefetcher resumed(BatchSource(set, options(2, 3, GetParam())), 2);
  for (size_t i = positions.size(); i-- > 0;) {
    resumed.seek(positions[i]);
    EXPECT_EQ(resumed.position(), positions[i]);
    for (size_t j = i; j < std::min(i + 3, batches.size()); ++j) {
      EXPECT_EQ(to_vector(resumed.next().x), batches[j]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, Prefetching, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "shuffled" : "sequential"; });

TEST_F(Batches, AnErrorReachesTheCallerAtItsBatchAndThePositionStays) {
  const auto set = counting(50, 30);  // token 30 and above are outside
  for (const int64_t depth : {0, 4}) {
    Prefetcher prefetcher(BatchSource(set, options(2, 5, false)), depth);
    prefetcher.next();  // reads 0 to 10
    prefetcher.next();  // reads 11 to 21
    for (int attempt = 0; attempt < 2; ++attempt) {
      EXPECT_THAT(sentence_of([&] { prefetcher.next(); }), HasSubstr("outside of the vocabulary"));
      EXPECT_EQ(prefetcher.position(), 22);
    }
    prefetcher.seek(0);
    EXPECT_EQ(to_vector(prefetcher.next().x)[9], 9);
  }
}

TEST_F(Batches, ThreadsEndWithTheirPrefetcher) {
  const auto set = counting(50);
  for (int i = 0; i < 200; ++i) {
    Prefetcher prefetcher(BatchSource(set, options(2, 5, true)), 1 + i % 4);
    for (int j = 0; j < i % 3; ++j) prefetcher.next();
  }
  EXPECT_EQ(set.use_count(), 1);
}

}  // namespace
}  // namespace gamut::data
