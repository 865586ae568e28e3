// Audio files to codes: read, mixed, resampled, encoded piece by piece.
#pragma once

#include "data/codes/description.h"
#include "data/prepare/unit.h"

namespace gamut::data {

struct AudioWorkOptions {
  double min_seconds = 0.1;       // shorter files are skipped
  double max_seconds = 0;         // of each file only its beginning is taken; 0: all of it
  double min_peak = 1e-4;         // files that stay below are silent, and skipped; 0 takes them
  bool accept_truncated = false;  // files that break off are taken as far as they go
};

// A unit is a file; its `facts` stand beside its codes in the shard, with name, source, sha256,
// samples, channels and sample_rate of the file. The tokenizer outlives this object.
class AudioWork : public UnitWork {
 public:
  // Throws gamut::Error for a tokenizer of text.
  AudioWork(Tokenizer& tokenizer, TokenizerRecord record, AudioWorkOptions options);

  nlohmann::json description() const override;
  UnitResult run(const Unit& unit, UnitContext& context) const override;
  std::unique_ptr<ShardSink> new_sink(const std::filesystem::path& folder) const override;

 private:
  Tokenizer& tokenizer_;
  CodesDescription codes_;
  int64_t channels_;
  AudioWorkOptions options_;
};

}  // namespace gamut::data
