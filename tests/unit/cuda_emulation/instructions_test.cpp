// The instructions of a warp as the emulator has them, against their definitions.
#include "instructions.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <vector>

#include "cuda/emulation/emulation.h"

namespace gamut::cuda::test {
namespace {

using at::Tensor;

at::ScalarType type_of(Element element) {
  if (element == Element::float32) return at::kFloat;
  return element == Element::bfloat16 ? at::kBFloat16 : at::kHalf;
}

// Numbers of few bits, so that every type holds them and their sums of products.
Tensor small_numbers(at::IntArrayRef sizes) {
  return at::randint(-20, 21, sizes).to(at::kFloat) / 4;
}

void expect_ok(const Status& status) {
  EXPECT_TRUE(status.ok()) << status.kernel << ": " << status.message;
}

constexpr Element kElements[] = {Element::float32, Element::bfloat16, Element::float16};

TEST(Instructions, ProductsOfDocumentedFragmentsAreExact) {
  at::manual_seed(1);
  for (const Element element : kElements) {
    const int depth = element == Element::float32 ? 8 : 16;
    const auto a = small_numbers({16, depth}), b = small_numbers({depth, 8});
    auto d = at::full({16, 8}, NAN);
    expect_ok(product(d.mutable_data_ptr<float>(), a.const_data_ptr<float>(),
                      b.const_data_ptr<float>(), element));
    EXPECT_TRUE(d.to(at::kDouble).equal(at::mm(a.to(at::kDouble), b.to(at::kDouble))));
  }
}

TEST(Instructions, ProductsHoldAllNumbersOfAType) {
  for (const Element element : kElements) {
    const int depth = element == Element::float32 ? 8 : 16;
    const float smallest = element == Element::float16 ? 5.9604645e-8F : 1e-38F;
    const float numbers[] = {smallest, -smallest, -0.0F, 1, -65504, INFINITY, -INFINITY, NAN};
    auto a = at::zeros({16, depth}), b = at::zeros({depth, 8});
    for (int i = 0; i < 8; ++i) a[i][i] = numbers[i];
    a = a.to(type_of(element)).to(at::kFloat);
    b[0].fill_(1), b[3].fill_(2);
    auto d = at::full({16, 8}, NAN);
    expect_ok(product(d.mutable_data_ptr<float>(), a.const_data_ptr<float>(),
                      b.const_data_ptr<float>(), element));
    const auto expected = at::mm(a, b);
    // tf32 has ten bits after the first.
    EXPECT_TRUE(at::allclose(d, expected, 2e-3, 0, /*equal_nan=*/true)) << d << expected;
  }
}

TEST(Instructions, MatricesAreLoadedAsDocumented) {
  const auto whole = at::arange(4 * 64, at::kInt).to(at::kUInt16);
  const auto* elements = whole.const_data_ptr<uint16_t>();
  for (const int registers : {2, 4}) {
    for (const auto transposed : {Transposed::no, Transposed::yes}) {
      std::vector<uint32_t> r(registers * 32);
      expect_ok(load_matrices(r.data(), elements, registers, transposed));
      for (int i = 0; i < registers * 32; ++i) {
        const int matrix = i / 32, row = i % 32 / 4, column = i % 4 * 2;
        const bool turned = transposed == Transposed::yes;
        const uint32_t first = matrix * 64 + (turned ? column * 8 + row : row * 8 + column);
        ASSERT_EQ(r[i], first | (first + (turned ? 8 : 1)) << 16) << "register " << i;
      }
    }
  }
}

TEST(Instructions, TilesEqualAFullProduct) {
  at::manual_seed(2);
  for (const Element element : kElements) {
    for (int how = 0; how < 8; ++how) {
      const Tiles tile{element, how % 2 == 0 || how >= 4, how / 2 % 2 == 0, how >= 4};
      const int depth = tile.chained ? 16 : 48;
      const auto a = at::randn({32, depth}), b = at::randn({depth, 16});
      auto d = at::full({32, 16}, NAN);
      expect_ok(tiles(d.mutable_data_ptr<float>(), a.const_data_ptr<float>(),
                      b.const_data_ptr<float>(), depth, tile));
      const auto type = type_of(element);
      const auto expected = at::mm(a.to(type).to(at::kDouble), b.to(type).to(at::kDouble));
      EXPECT_LT((d - expected).abs().max().item<double>(), 2e-5) << how;
    }
  }
}

// The definitions of CUDA's guide: lane by lane, within `width` lanes, one's own where there is
// none.
TEST(Instructions, LanesExchangeAsDocumented) {
  for (const int width : {32, 16, 8}) {
    std::vector<int> out(10 * 32, -1);
    expect_ok(exchange(out.data(), width));
    for (int lane = 0; lane < 32; ++lane) {
      const int first = lane - lane % width, last = first + width - 1;
      EXPECT_EQ(out[lane], first + 5 % width);
      EXPECT_EQ(out[32 + lane], lane - 3 < first ? lane : lane - 3);
      EXPECT_EQ(out[64 + lane], lane + 3 > last ? lane : lane + 3);
      EXPECT_EQ(out[96 + lane], (lane ^ 9) > last ? lane : lane ^ 9);
      EXPECT_EQ(out[128 + lane], 7);
      EXPECT_EQ(out[160 + lane], 1);
      EXPECT_EQ(out[192 + lane], 0);
      EXPECT_EQ(out[224 + lane], 31 * 32 / 2 - 7 * 32);
      EXPECT_EQ(out[256 + lane], -7);
      EXPECT_EQ(out[288 + lane], 24);
    }
  }
}

TEST(Instructions, BarriersCountVotes) {
  std::vector<int> out(96, -1);
  expect_ok(count(out.data(), 96));
  EXPECT_EQ(out, std::vector<int>(96, 1032));
  out.assign(64, -1);
  expect_ok(count(out.data(), 64));
  EXPECT_EQ(out, std::vector<int>(64, 3022));
}

TEST(Instructions, WorkIsCounted) {
  const auto before = emulation::work_done();
  std::vector<float> out(128);
  expect_ok(many_products(out.data(), 4, 100));
  EXPECT_EQ(out, std::vector<float>(128, 4 * 16 * 100));
  const auto after = emulation::work_done();
  EXPECT_EQ(after.matrix_products - before.matrix_products, 400);
  EXPECT_EQ(after.launches - before.launches, 1);
  EXPECT_EQ(after.blocks - before.blocks, 1);
}

}  // namespace
}  // namespace gamut::cuda::test
