// Memory Caching (arXiv 2602.24281): a recurrent mixer that also reads the memories that it had at
// the ends of earlier segments.
#pragma once

#include <gamut/plugin.h>
#include <gamut/recurrent.h>

#include <memory>
#include <string>
#include <vector>

#include "mixing.h"
#include "scans.h"
#include "settings.h"

namespace gamut::memory_cache {

class MemoryCache final : public Mixer {
 public:
  static OptionTable options() { return option_table(); }
  MemoryCache(const Options& options, Host& host);

  at::Tensor forward(const at::Tensor& x, MixerContext& context) override;
  // The inner mixer's tensors, and of each row's document: "cache.steps" [batch], how many steps of
  // it were read; "cache.<memory>" [batch, n, ...], the cached memories, padded with zeros to the
  // row that has most; with gates "cache.means" [batch, n, width] and "cache.sum" [batch, width],
  // of the scored inputs of the cached segments and of the online one.
  State new_state(int64_t batch) const override;

 private:
  // Documents of one geometry, side by side as rows.
  struct Group {
    std::vector<int64_t> documents;
    bool continues = false;  // what the state holds
    int64_t length = 0;
    int64_t before = 0;  // steps that earlier calls read
  };
  // What documents carry from one call to the next.
  struct Carried {
    Memory online;
    at::Tensor sum;
    Cache cache;
  };
  struct Outcome {
    at::Tensor read;  // [rows, time, ...], mixed and normalised
    Carried carried;
  };
  Scored scored(const at::Tensor& x, const NamedTensors& features) const;
  Memory empty(int64_t rows) const;
  Carried begin(const Group& group, const Documents& documents, const State* state) const;
  std::vector<Group> grouped(const Documents& documents, const State* state) const;
  Outcome run(const NamedTensors& features, const Scored& scored, const std::vector<Piece>& pieces,
              const Carried& before) const;
  std::vector<Entry> finish_segments(const std::vector<Piece>& pieces, std::vector<Memory> memories,
                                     std::vector<at::Tensor>& means, at::Tensor& sum) const;
  void keep(const std::vector<Group>& groups, const std::vector<Carried>& carried,
            const Documents& documents, State& state) const;

  // The mixed reads [batch, time, ...]; updates what the state holds of memories.
  at::Tensor mixed(const NamedTensors& features, const Scored& scored, const Documents& documents,
                   State* state) const;

  Settings settings_;
  std::shared_ptr<Mixer> inner_;
  std::shared_ptr<Recurrent> recurrent_;  // of inner_, which it keeps
  std::vector<std::string> memory_names_;
  at::Tensor u_proj_;
  int64_t width_ = 0;  // of what is scored
};

}  // namespace gamut::memory_cache
