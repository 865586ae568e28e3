// A zip archive as torch.save lays it out: entries stored, each beginning at a multiple of 64
// bytes.
//
// LibTorch's own writer (caffe2/serialize/inline_container.h) ends the process when the disk is
// full, since its destructor writes on, and names the folder in the archive after the file that it
// opens itself, so that nothing can be written beside the target and renamed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace gamut::checkpoint::torch_file {

class ZipWriter {
 public:
  using Sink = std::function<void(const void*, size_t)>;

  // All entries are in `folder` of the archive. Bytes go to `sink` in order; what it throws passes.
  ZipWriter(Sink sink, std::string folder);

  void add(const std::string& name, std::string_view bytes);
  // The entries by which LibTorch knows its archives, then the directory. The last call; how many
  // bytes there are in all.
  uint64_t finish();

 private:
  void write(std::string_view bytes);
  std::string serialization_id() const;

  Sink sink_;
  std::string folder_;
  uint64_t at_ = 0;
  uint64_t entries_ = 0;
  std::string directory_;
  std::unordered_set<std::string> names_;  // walked in its order, which is LibTorch's
  uint64_t checksums_ = 0;
};

}  // namespace gamut::checkpoint::torch_file
