// Who owns a tensor's memory: Lua's collector, scopes, and the heap that Lua's own objects have.
#include <ATen/ATen.h>

#include <csignal>

#include "script/allocator.h"
#include "script/signals.h"
#include "script_fixture.h"

namespace gamut::script {
namespace {

class MemoryTest : public ScriptTest {};

TEST_F(MemoryTest, CollectedTensorsAreFreed) {
  at::Tensor held = at::ones({1000});
  {
    push_tensor(L(), held);
    EXPECT_EQ(held.use_count(), 2);
    lua_settop(L(), 0);
  }
  lua_gc(L(), LUA_GCCOLLECT);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(MemoryTest, BytesAreCountedOnceAndForgotten) {
  const size_t before = bridge(L()).live_bytes;
  push_tensor(L(), at::ones({1 << 16}));
  EXPECT_EQ(bridge(L()).live_bytes, before + (4u << 16));
  push_tensor(L(), check_tensor(L(), -1).view({256, 256}));
  EXPECT_EQ(bridge(L()).live_bytes, before + (4u << 16)) << "a view brings nothing new";
  lua_settop(L(), 0);
  lua_gc(L(), LUA_GCCOLLECT);
  EXPECT_EQ(bridge(L()).live_bytes, before);
}

TEST_F(MemoryTest, ScopesFreeWithoutTheCollector) {
  lua_gc(L(), LUA_GCSTOP);
  at::Tensor held = at::ones({10});
  ASSERT_TRUE(try_run("local t = ...; gamut.scope(function() keep = t:view(5, 2) end)", {held}));
  // The argument's handle is Lua's still; the view made in the scope is gone.
  EXPECT_EQ(held.storage().use_count(), 1);
}

TEST_F(MemoryTest, UndefinedIsNil) {
  push_tensor(L(), at::Tensor());
  EXPECT_TRUE(lua_isnil(L(), -1));
}

TEST_F(MemoryTest, CoroutinesShareTheBridge) {
  ASSERT_TRUE(
      try_run("local co = coroutine.wrap(function() return gamut.ones{2} + 1 end)\n"
              "assert(co():sum():item() == 4.0)"))
      << error_.message;
}

int raise_signal(lua_State* L) {
  std::raise(static_cast<int>(lua_tointeger(L, 1)));
  return 0;
}

TEST_F(MemoryTest, SignalsRaiseAtASafePoint) {
  lua_pushcfunction(L(), raise_signal);
  lua_setglobal(L(), "raise_signal");
  handle_signals(L(), OnSignal::raise);
  ASSERT_FALSE(try_run("\nraise_signal(2)\nfor i = 1, 1e9 do end"));
  EXPECT_NE(error_.message.find("interrupted"), std::string::npos) << error_.message;
  EXPECT_EQ(interrupt_exit_code(), 130);
  clear_interrupt();
  // In a coroutine the hook is elsewhere; the next operator notices.
  ASSERT_FALSE(
      try_run("coroutine.wrap(function()\n"
              "  raise_signal(2)\n  for i = 1, 1e9 do local _ = gamut.ones{1} end\nend)()"));
  EXPECT_NE(error_.message.find("interrupted"), std::string::npos) << error_.message;
  clear_interrupt();
  handle_signals(L(), OnSignal::note);
  ASSERT_TRUE(try_run("raise_signal(15); assert(gamut.interrupted() == 'SIGTERM')"))
      << error_.message;
  EXPECT_EQ(interrupt_exit_code(), 143);
  clear_interrupt();
}

TEST(LuaAllocatorTest, BlocksAreDistinctAndKeepTheirContent) {
  LuaAllocator allocator;
  const auto resize = [&](void* block, size_t old_size, size_t size) {
    return LuaAllocator::allocate(&allocator, block, old_size, size);
  };
  std::vector<std::pair<unsigned char*, size_t>> blocks;
  for (size_t i = 0; i < 3000; ++i) {
    const size_t size = 1 + (i * 37) % 3000;
    auto* block = static_cast<unsigned char*>(resize(nullptr, LUA_TTABLE, size));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    std::fill_n(block, size, static_cast<unsigned char>(i));
    blocks.emplace_back(block, size);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    auto& [block, size] = blocks[i];
    const size_t wanted = 1 + (i * 91) % 3000, kept = std::min(size, wanted);
    block = static_cast<unsigned char*>(resize(block, size, wanted));
    for (size_t j = 0; j < kept; ++j) ASSERT_EQ(block[j], static_cast<unsigned char>(i));
    std::fill_n(block, wanted, static_cast<unsigned char>(i));
    size = wanted;
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    auto& [block, size] = blocks[i];
    for (size_t j = 0; j < size; ++j) ASSERT_EQ(block[j], static_cast<unsigned char>(i));
    EXPECT_EQ(resize(block, size, 0), nullptr);
  }
}

}  // namespace
}  // namespace gamut::script
