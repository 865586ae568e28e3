// Large blocks are kept for the next tensor of their size, within bounds.
#include "script/tensor_allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace gamut::script {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

c10::DataPtr take(size_t bytes) {
  return tensor_allocator().allocate(bytes);
}

TEST(TensorAllocator, KeepsALargeBlockForTheNextOfItsSize) {
  auto block = take(5 * kMiB - 3);
  void* const address = block.get();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 64, 0U);
  std::memset(address, 1, 5 * kMiB - 3);
  block.clear();
  block = take(5 * kMiB);  // of the same size class
  EXPECT_EQ(block.get(), address);
  const auto other = take(5 * kMiB);
  EXPECT_NE(other.get(), address);
}

TEST(TensorAllocator, SmallBlocksAreNotCounted) {
  const size_t before = tensor_memory().in_use;
  const auto empty = take(0), small = take(kMiB - 1);
  EXPECT_EQ(tensor_memory().in_use, before);
  const auto large = take(kMiB);
  EXPECT_EQ(tensor_memory().in_use, before + kMiB);
}

TEST(TensorAllocator, ReleaseGivesBackWhatIsKept) {
  const auto held = take(3 * kMiB);
  take(3 * kMiB).clear();
  EXPECT_GE(tensor_memory().kept, 3 * kMiB);
  release_memory();
  EXPECT_EQ(tensor_memory().kept, 0U);
  EXPECT_EQ(static_cast<char*>(std::memset(held.get(), 1, 3 * kMiB))[3 * kMiB - 1], 1);
}

// Sizes that never come back must not pile up.
TEST(TensorAllocator, WhatIsKeptStaysBounded) {
  size_t most = 0;
  for (size_t i = 0; i < 200; ++i) {
    const auto block = take((100 + i) * kMiB);
    std::memset(block.get(), 1, 1);
    most = std::max(most, tensor_memory().in_use);
    EXPECT_LE(tensor_memory().in_use + tensor_memory().kept, most + most / 8 + 64 * kMiB);
  }
}

TEST(TensorAllocator, RefusesInASentence) {
  const size_t before = tensor_memory().in_use;
  std::string message;
  try {
    take(size_t{1} << 50);
  } catch (const std::exception& error) {
    message = error.what();
  }
  EXPECT_THAT(message, ::testing::HasSubstr("there is no memory for a tensor of"));
  EXPECT_EQ(tensor_memory().in_use, before);
}

TEST(TensorAllocator, ServesSeveralThreads) {
  const size_t before = tensor_memory().in_use;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (size_t i = 0; i < 300; ++i) {
        const auto block = take((1 + (i + t) % 5) * kMiB);
        auto* bytes = static_cast<unsigned char*>(block.get());
        bytes[0] = bytes[kMiB - 1] = static_cast<unsigned char>(t);
        ASSERT_EQ(bytes[0], t);
        ASSERT_EQ(bytes[kMiB - 1], t);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(tensor_memory().in_use, before);
}

}  // namespace
}  // namespace gamut::script
