// Folders, files and tensors for the tests of this folder.
#pragma once

#include <ATen/ATen.h>
#include <gamut/error.h>
#include <gamut/module.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace gamut::checkpoint {

namespace fs = std::filesystem;

// A test with a folder of its own, removed afterwards; in memory where there is /dev/shm, because
// these tests flush thousands of files.
class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    const bool memory = access("/dev/shm", W_OK) == 0;
    const fs::path base = memory ? "/dev/shm" : fs::temp_directory_path();
    std::string pattern = base / "gamut_checkpoint_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~FolderTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path folder_;
};

inline std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

// Equal in name, dtype, shape and every bit; NaN equals NaN.
inline bool same(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

inline const at::Tensor& find(const NamedTensors& tensors, const std::string& name) {
  for (const auto& entry : tensors) {
    if (entry.name == name) return entry.tensor;
  }
  throw Error("no tensor " + name);
}

// The message of the gamut::Error that `action` throws; any other exception fails the test.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace gamut::checkpoint
