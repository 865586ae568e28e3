#include "script/memory.h"

#include <algorithm>

namespace gamut::script {
namespace {

constexpr size_t kMinimumGrowth = size_t{64} << 20;
constexpr size_t kIgnored = 4096;  // smaller storages are left to the collector's own pace

}  // namespace

void account_bytes(lua_State* L, BridgeState& state, TensorBox& box) {
  if (!box.tensor.has_storage()) return;
  // Views share their storage, and a tensor that others hold too (a gradient, a parameter) is not
  // this box's to free. The storage's own count won't do: autograd may have saved an alias.
  if (box.tensor.use_count() != 1 || box.tensor.is_view()) return;
  const size_t bytes = box.tensor.storage().nbytes();
  if (bytes < kIgnored) return;
  box.bytes = bytes;
  state.live_bytes += box.bytes;
  if (state.live_bytes <= state.collect_at) return;
  if (state.collect_at != 0) lua_gc(L, LUA_GCCOLLECT);
  state.collect_at = state.live_bytes + std::max(kMinimumGrowth, state.live_bytes / 4);
}

void forget_bytes(BridgeState& state, TensorBox& box) {
  state.live_bytes -= box.bytes;
  box.bytes = 0;
}

}  // namespace gamut::script
