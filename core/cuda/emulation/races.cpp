#include "cuda/emulation/races.h"

#include <sanitizer/common_interface_defs.h>

#include "cuda/emulation/block.h"

// Where the program begins: the linker's.
// NOLINTNEXTLINE(bugprone-reserved-identifier, readability-identifier-naming)
extern "C" const char __executable_start;

namespace gamut::cuda::emulation {
namespace {

constexpr uintptr_t kGranule = 2;  // bytes of the smallest element
constexpr size_t kOthers = size_t{1} << 16;

bool same_warp(const Access& a, const Access& b) {
  return a.thread / kLanes == b.thread / kLanes;
}

// Whether nothing orders `earlier` before `now`.
bool concurrent(const Access& earlier, const Access& now) {
  if (earlier.epoch != now.epoch || earlier.thread == now.thread) return false;
  return !same_warp(earlier, now) || earlier.syncs == now.syncs;
}

bool races(const Access& earlier, const Access& now) {
  return concurrent(earlier, now) && !(earlier.atomic && now.atomic);
}

}  // namespace

void Races::watch(const void* begin, size_t bytes) {
  begin_ = reinterpret_cast<uintptr_t>(begin) / kGranule;
  end_ = begin_ + bytes / kGranule;
  watched_.assign(end_ - begin_, Cell());
  others_.resize(kOthers);
}

Races::Cell& Races::cell(uintptr_t granule) {
  if (granule >= begin_ && granule < end_) return watched_[granule - begin_];
  Cell& cell = others_[(granule ^ granule >> 16) % kOthers];
  if (cell.granule != granule) {
    cell = Cell();
    cell.granule = granule;
  }
  return cell;
}

std::optional<Race> Races::touch(Touch kind, const void* address, size_t bytes,
                                 const Access& access) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  // A byte alone may have a neighbour of another thread.
  for (uintptr_t i = (at + 1) / kGranule; i < (at + bytes) / kGranule; ++i) {
    if (auto race = touch(kind, cell(i), access)) return race;
  }
  return {};
}

std::optional<Race> Races::touch(Touch kind, Cell& cell, const Access& access) {
  if (races(cell.write, access)) return Race{Touch::write, cell.write};
  if (kind == Touch::write) {
    for (const Access& read : cell.reads) {
      if (races(read, access)) return Race{Touch::read, read};
    }
    cell.write = access;
    return {};
  }
  Access& first = cell.reads[0];
  if (!concurrent(first, access)) {
    first = access;
  } else if (!same_warp(first, access) || !concurrent(cell.reads[1], access)) {
    cell.reads[1] = access;
  }
  return {};
}

uint32_t code_offset(const void* instruction) {
  return static_cast<uint32_t>(static_cast<const char*>(instruction) - &__executable_start);
}

std::string place_of(const Access& access) {
  char text[512] = "";
  const char* instruction = &__executable_start + access.code;
  __sanitizer_symbolize_pc(const_cast<char*>(instruction), "%s:%l", text, sizeof(text));
  const std::string place = text;
  const auto slash = place.rfind('/');
  return slash == std::string::npos ? place : place.substr(slash + 1);
}

}  // namespace gamut::cuda::emulation
