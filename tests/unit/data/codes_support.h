// Shared by the tests of codes: shards of known codes in a folder of their own.
#pragma once

#include <memory>

#include "data/codes/set.h"
#include "data/codes/writer.h"
#include "support.h"

namespace gamut::data {

inline CodesDescription description() {
  CodesDescription made;
  made.tokenizer = {"dac", "1.0.0", {{"weights", "w.safetensors"}}, {{"weights_sha256", "abc"}}};
  made.sample_rate = 44100;
  made.frame_rate = 44100.0 / 512;
  made.hop_length = 512;
  made.codebooks = 3;
  made.vocab_size = 1024;
  return made;
}

// Code k of frame t of item i: all different, so that each tells where it is from.
inline at::Tensor codes_of(int64_t item, int64_t frames) {
  const at::Tensor time = at::arange(frames) + item * 100;
  return at::stack({time, time + 300, time + 600}).remainder(1024);
}

class InCodesFolder : public InFolder {
 protected:
  std::vector<fs::path> write_items(const std::vector<int64_t>& lengths,
                                    int64_t shard_bytes = kCodesShardBytes,
                                    const CodesDescription& made = description()) const {
    CodesWriter writer(folder_, "train", made, shard_bytes);
    for (size_t i = 0; i < lengths.size(); ++i) {
      const auto item = static_cast<int64_t>(i);
      writer.append(codes_of(item, lengths[i]),
                    {{"name", c10::str("item", i)}, {"text", c10::str("words of ", i)}});
    }
    return writer.finish();
  }

  std::shared_ptr<const CodeSet> set_of(const std::vector<int64_t>& lengths,
                                        int64_t shard_bytes = kCodesShardBytes) const {
    return std::make_shared<CodeSet>(write_items(lengths, shard_bytes));
  }
};

}  // namespace gamut::data
