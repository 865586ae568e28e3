// Shared by the data tests: a folder of their own, shards with known tokens, sentences of errors.
#pragma once

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/token_set.h"

namespace gamut::data {

namespace fs = std::filesystem;

// Empty at the beginning of each test, removed after it.
class InFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              c10::str("gamut_data_", test->test_suite_name(), "_", test->name(), "_", getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& contents) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << contents;
    return folder_ / name;
  }

  fs::path folder_;
};

// Tokens 0, 1, 2, ... in shards of `shard_tokens`.
inline std::vector<fs::path> write_counting(const fs::path& folder, int64_t tokens,
                                            int64_t shard_tokens,
                                            const std::string& prefix = "count_train") {
  ShardWriter writer(folder, prefix, kMaxVocabulary, shard_tokens);
  for (int64_t i = 0; i < tokens; ++i) writer.append(&i, 1);
  return writer.finish();
}

inline std::vector<int64_t> to_vector(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

inline std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The sentence of the gamut::Error that `function` throws, or "nothing thrown".
template <class Function>
std::string sentence_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace gamut::data
