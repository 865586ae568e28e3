// Frames are turned to rows as they come; a full shard is written in one go.
#include "data/codes/writer.h"

#include <ATen/ATen.h>
#include <gamut/error.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "checkpoint/safetensors.h"
#include "data/codes/shard.h"
#include "files/hash.h"

namespace gamut::data {
namespace {

namespace fs = std::filesystem;

// int64 [frames, codebooks] in memory, checked; throws for what the shard cannot hold.
at::Tensor as_rows(const at::Tensor& codes, const CodesDescription& description,
                   const std::string& name) {
  GAMUT_CHECK(codes.dim() == 2 && codes.size(0) == description.codebooks &&
                  at::isIntegralType(codes.scalar_type(), /*includeBool=*/false),
              "the codes of `", name, "` must be integers [", description.codebooks,
              ", frames], not ", codes.dtype(), " ", codes.sizes());
  at::Tensor rows = codes.to(at::kCPU, at::kLong).t().contiguous();
  const auto* begin = rows.const_data_ptr<int64_t>();
  const auto* bad = std::find_if(begin, begin + rows.numel(), [&](int64_t code) {
    return code < 0 || code >= description.vocab_size;
  });
  const int64_t index = bad - begin;
  GAMUT_CHECK(index == rows.numel(), "code ", *bad, " of `", name, "`, in frame ",
              index / description.codebooks, " of codebook ", index % description.codebooks,
              ", is outside of the vocabulary, 0 to ", description.vocab_size - 1);
  return rows;
}

std::string line_of(const nlohmann::json& facts) {
  const bool is_named = facts.is_object() && facts.contains("name") && facts["name"].is_string();
  GAMUT_CHECK(is_named, "an item of a codes shard needs a `name`, a string");
  try {
    return facts.dump() + "\n";
  } catch (const nlohmann::json::type_error&) {
    const auto replace = nlohmann::json::error_handler_t::replace;
    throw Error("what is known of an item is not valid UTF-8: " +
                facts.dump(-1, ' ', false, replace));
  }
}

}  // namespace

CodesWriter::CodesWriter(fs::path folder, std::string split, CodesDescription description,
                         int64_t shard_bytes)
    : folder_(std::move(folder)),
      split_(std::move(split)),
      description_(std::move(description)),
      shard_bytes_(shard_bytes) {
  GAMUT_CHECK(!split_.empty() && split_.find('/') == std::string::npos,
              "the split of a codes shard names its file; it cannot be `", split_, "`");
  GAMUT_CHECK(shard_bytes >= 1, "a shard of ", shard_bytes, " bytes cannot be written");
  description_.check(folder_.string());
}

void CodesWriter::append(const at::Tensor& codes, const nlohmann::json& facts) {
  const std::string line = line_of(facts);
  const at::Tensor rows = as_rows(codes, description_, facts["name"].get<std::string>());
  const auto added = 2 * rows.numel() + static_cast<int64_t>(line.size()) + 8;
  if (offsets_.size() > 1 && bytes() + added > shard_bytes_) write_shard();
  const auto* begin = rows.const_data_ptr<int64_t>();
  std::transform(begin, begin + rows.numel(), std::back_inserter(codes_),
                 [](int64_t code) { return static_cast<uint16_t>(code); });
  offsets_.push_back(offsets_.back() + rows.size(0));
  lines_ += line;
  items_ += 1, frames_ += rows.size(0);
}

int64_t CodesWriter::bytes() const {
  return static_cast<int64_t>(2 * codes_.size() + 8 * offsets_.size() + lines_.size());
}

std::vector<fs::path> CodesWriter::finish() {
  if (offsets_.size() > 1 || finished_.empty()) write_shard();
  return finished_;
}

void CodesWriter::write_shard() {
  char number[16];
  std::snprintf(number, sizeof number, "_%06zu", finished_.size());
  const fs::path path = folder_ / (split_ + number + ".safetensors");
  const auto frames = static_cast<int64_t>(codes_.size()) / description_.codebooks;
  const NamedTensors tensors = {
      {"codes", at::from_blob(codes_.data(), {frames, description_.codebooks}, at::kUInt16)},
      {"offsets",
       at::from_blob(offsets_.data(), {static_cast<int64_t>(offsets_.size())}, at::kLong)},
      {"items", at::from_blob(lines_.data(), {static_cast<int64_t>(lines_.size())}, at::kByte)}};
  checkpoint::Metadata metadata = description_.to_metadata();
  metadata["format"] = kCodesFormat;
  metadata["split"] = split_;
  for (const auto& [name, tensor] : tensors) {
    metadata["xxh3." + name] = files::xxh3_hex(tensor.const_data_ptr(), tensor.nbytes());
  }
  checkpoint::write_safetensors(path, tensors, metadata);
  finished_.push_back(path);
  codes_.clear();
  offsets_.assign(1, 0);
  lines_.clear();
}

}  // namespace gamut::data
