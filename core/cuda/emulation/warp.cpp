#include "cuda/emulation/warp.h"

#include "cuda/emulation/running.h"

namespace gamut::cuda::emulation {
namespace {

void check_mask(const char* name, unsigned mask, const Site& site) {
  if (mask == 0xffffffff) return;
  fail(site, "%s with mask 0x%08x; only whole warps are emulated, mask 0xffffffff", name, mask);
}

struct Shuffle {
  uint64_t in, out;
  int source;
};

void complete_shuffle(void* const (&operands)[kLanes]) {
  const auto lane = [&](int i) { return static_cast<Shuffle*>(operands[i]); };
  for (int i = 0; i < kLanes; ++i) lane(i)->out = lane(lane(i)->source & (kLanes - 1))->in;
}

struct Vote {
  bool vote;
  unsigned votes;
};

void complete_ballot(void* const (&operands)[kLanes]) {
  unsigned votes = 0;
  for (int i = 0; i < kLanes; ++i) {
    votes |= static_cast<unsigned>(static_cast<Vote*>(operands[i])->vote) << i;
  }
  for (void* lane : operands) static_cast<Vote*>(lane)->votes = votes;
}

struct Term {
  int64_t value;
  Reduction how;
};

void complete_reduce(void* const (&operands)[kLanes]) {
  Term result = *static_cast<Term*>(operands[0]);
  for (int i = 1; i < kLanes; ++i) {
    const int64_t value = static_cast<Term*>(operands[i])->value;
    if (result.how == Reduction::add) result.value += value;
    if (result.how == Reduction::min) result.value = std::min(result.value, value);
    if (result.how == Reduction::max) result.value = std::max(result.value, value);
  }
  for (void* lane : operands) static_cast<Term*>(lane)->value = result.value;
}

}  // namespace

void sync_warp(unsigned mask, const Site& site) {
  check_mask("__syncwarp", mask, site);
  converge("__syncwarp", [](void* const(&)[kLanes]) { running().synced(); }, nullptr, site);
}

uint64_t shuffle(const char* name, unsigned mask, uint64_t bits, int source, const Site& site) {
  check_mask(name, mask, site);
  Shuffle mine{bits, 0, source};
  converge(name, &complete_shuffle, &mine, site);
  return mine.out;
}

unsigned ballot(const char* name, unsigned mask, bool vote, const Site& site) {
  check_mask(name, mask, site);
  Vote mine{vote, 0};
  converge(name, &complete_ballot, &mine, site);
  return mine.votes;
}

int64_t reduce(const char* name, unsigned mask, int64_t value, Reduction how, const Site& site) {
  check_mask(name, mask, site);
  Term mine{value, how};
  converge(name, &complete_reduce, &mine, site);
  return mine.value;
}

}  // namespace gamut::cuda::emulation
