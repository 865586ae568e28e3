// gamut.native.cuda: devices, their memory, streams, events and graphs.
//
// What LibTorch offers for any kind of device goes by its common interface; graphs and descriptions
// are in torch.so (cuda.h). All but `available` and `addresses` need a device and say so.
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>

#include "gamut/error.h"
#include "script/arguments.h"
#include "script/cuda.h"
#include "script/tensor.h"
#include "script/userdata.h"

namespace gamut::script {
namespace {

using c10::impl::VirtualGuardImpl;

// Has LibTorch set up what it has of the devices, which else the first tensor does.
void require_device() {
  if (at::hasCUDA()) {
    at::globalContext().lazyInitDevice(c10::kCUDA);
    return;
  }
  std::string why;
  if (const cuda::TorchTable* table = torch_cuda(&why)) {
    char reason[512];
    table->why_no_device(reason, sizeof(reason));
    why = reason;
  }
  throw Error("this needs a CUDA device, and none is there: " + why);
}

const cuda::TorchTable& table() {
  require_device();
  std::string why;
  const cuda::TorchTable* found = torch_cuda(&why);
  GAMUT_CHECK(found, "CUDA graphs and descriptions of devices cannot be had here: ", why);
  return *found;
}

// The device at `index`, "cuda" or "cuda:1", by default the current one; with its index.
c10::Device device_at(lua_State* L, int index) {
  require_device();
  const VirtualGuardImpl guard(c10::kCUDA);
  if (lua_isnoneornil(L, index)) return guard.getDevice();
  const c10::Device device = check_device(L, index);
  GAMUT_CHECK(device.is_cuda(), "`", device.str(), "` is no CUDA device");
  if (!device.has_index()) return guard.getDevice();
  GAMUT_CHECK(device.index() < guard.deviceCount(), "there is no device `", device.str(),
              "`: this machine has ", static_cast<int>(guard.deviceCount()));
  return device;
}

// available() -> boolean
int available(lua_State* L) {
  lua_pushboolean(L, at::hasCUDA());
  return 1;
}

// device_count() -> integer
int device_count(lua_State* L) {
  lua_pushinteger(L, at::hasCUDA() ? static_cast<lua_Integer>(at::getNumGPUs()) : 0);
  return 1;
}

// describe([device]) -> {name =, capability =, multiprocessors =, bytes =}
int describe(lua_State* L) {
  const c10::Device device = device_at(L, 1);
  cuda::DeviceDescription description;
  table().describe(device.index(), &description);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, description.name);
  lua_setfield(L, -2, "name");
  lua_pushfstring(L, "%d.%d", description.major, description.minor);
  lua_setfield(L, -2, "capability");
  lua_pushinteger(L, description.multiprocessors);
  lua_setfield(L, -2, "multiprocessors");
  lua_pushinteger(L, static_cast<lua_Integer>(description.bytes));
  lua_setfield(L, -2, "bytes");
  return 1;
}

// synchronize([device]): waits until it has done all that it was given.
int synchronize(lua_State* L) {
  const c10::Device device = device_at(L, 1);
  VirtualGuardImpl(c10::kCUDA).synchronizeDevice(device.index());
  return 0;
}

// memory([device]) -> bytes by name; the peaks are since the start or the last reset.
int memory(lua_State* L) {
  const c10::Device device = device_at(L, 1);
  auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
  const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = allocator->getDeviceStats(device.index());
  const auto [free, total] = allocator->getMemoryInfo(device.index());
  const std::pair<const char*, int64_t> fields[] = {
      {"allocated", stats.allocated_bytes[all].current},
      {"allocated_peak", stats.allocated_bytes[all].peak},
      {"reserved", stats.reserved_bytes[all].current},
      {"reserved_peak", stats.reserved_bytes[all].peak},
      {"free", static_cast<int64_t>(free)},
      {"total", static_cast<int64_t>(total)}};
  lua_createtable(L, 0, 6);
  for (const auto& [name, bytes] : fields) {
    lua_pushinteger(L, bytes);
    lua_setfield(L, -2, name);
  }
  return 1;
}

// reset_peak_memory([device])
int reset_peak_memory(lua_State* L) {
  const c10::Device device = device_at(L, 1);
  c10::getDeviceAllocator(c10::kCUDA)->resetPeakStats(device.index());
  return 0;
}

// empty_cache(): gives back what the allocator keeps for later.
int empty_cache(lua_State* /*L*/) {
  require_device();
  c10::getDeviceAllocator(c10::kCUDA)->emptyCache();
  return 0;
}

// use_own_stream([device]): from here on this thread works on that device, and on a stream other
// than the default one, which cannot be recorded; a second call changes nothing.
int use_own_stream(lua_State* L) {
  const c10::Device device = device_at(L, 1);
  const VirtualGuardImpl guard(c10::kCUDA);
  guard.setDevice(device);
  if (guard.getStream(device) != guard.getDefaultStream(device)) return 0;
  guard.synchronizeDevice(device.index());
  guard.exchangeStream(guard.getStreamFromGlobalPool(device));
  return 0;
}

// A moment in the work of a stream.
struct EventObject {
  static constexpr const char* kName = "gamut.CudaEvent";
  c10::Event event;
};

// event() -> event, which is yet to be recorded
int new_event(lua_State* L) {
  require_device();
  push_object(L, EventObject{c10::Event(c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT)});
  return 1;
}

c10::Event& recorded_event(lua_State* L, int index) {
  auto& event = check_object<EventObject>(L, index).event;
  GAMUT_CHECK(event.was_marked_for_recording(),
              "this event was not recorded yet: call its record()");
  return event;
}

// event:record(): the moment when the current stream has done what it was given so far.
int event_record(lua_State* L) {
  const VirtualGuardImpl guard(c10::kCUDA);
  check_object<EventObject>(L, 1).event.record(guard.getStream(guard.getDevice()));
  lua_settop(L, 1);
  return 1;
}

// event:is_over() -> boolean
int event_is_over(lua_State* L) {
  lua_pushboolean(L, recorded_event(L, 1).query());
  return 1;
}

// event:synchronize(): waits for the moment.
int event_synchronize(lua_State* L) {
  recorded_event(L, 1).synchronize();
  return 0;
}

// event:since(earlier) -> milliseconds between two moments; waits for both.
int event_since(lua_State* L) {
  const c10::Event& later = recorded_event(L, 1);
  const c10::Event& earlier = recorded_event(L, 2);
  earlier.synchronize();
  later.synchronize();
  lua_pushnumber(L, earlier.elapsedTime(later));
  return 1;
}

struct GraphObject {
  static constexpr const char* kName = "gamut.CudaGraph";
  struct Free {
    void operator()(cuda::Graph* graph) const { torch_cuda()->free_graph(graph); }
  };
  std::unique_ptr<cuda::Graph, Free> graph;
};

// graph() -> graph, which is yet to be recorded
int new_graph(lua_State* L) {
  GraphObject object;
  object.graph.reset(table().new_graph());
  push_object(L, std::move(object));
  return 1;
}

// pool() -> integer: memory that graphs share which are replayed in the order of their recording;
// it is gone with the last of them
int new_pool(lua_State* L) {
  lua_pushinteger(L, static_cast<lua_Integer>(table().new_pool()));
  return 1;
}

// graph:record(pool, fn, ...) -> results of fn(...), which runs while the stream is recorded;
// nothing is computed before replay().
int graph_record(lua_State* L) {
  auto& object = check_object<GraphObject>(L, 1);
  const auto pool = static_cast<uint64_t>(luaL_checkinteger(L, 2));
  luaL_checktype(L, 3, LUA_TFUNCTION);
  const auto body = [](void* context) {
    auto* state = static_cast<lua_State*>(context);
    lua_call(state, lua_gettop(state) - 3, LUA_MULTRET);
  };
  table().record(object.graph.get(), pool, body, L);
  return lua_gettop(L) - 2;
}

// graph:replay(): the device computes what was recorded.
int graph_replay(lua_State* L) {
  table().replay(check_object<GraphObject>(L, 1).graph.get());
  return 0;
}

// is_recording() -> boolean
int is_recording(lua_State* L) {
  lua_pushboolean(L, at::hasCUDA() && torch_cuda() && torch_cuda()->is_recording());
  return 1;
}

// addresses(tensors) -> string that is equal for lists of the same tensors at the same places in
// memory, with the same need of gradients; an entry may be false for none.
int addresses(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  std::string text;
  for (lua_Integer i = 1, n = luaL_len(L, 1); i <= n; ++i) {
    lua_rawgeti(L, 1, i);
    if (lua_isboolean(L, -1)) {
      text += '0';
    } else {
      const at::Tensor& tensor = check_tensor(L, lua_gettop(L));
      const void* place = tensor.const_data_ptr();
      text.append(reinterpret_cast<const char*>(&place), sizeof(place));
      text += tensor.requires_grad() ? '+' : '-';
    }
    lua_pop(L, 1);
  }
  lua_pushlstring(L, text.data(), text.size());
  return 1;
}

}  // namespace

int open_cuda_module(lua_State* L) {
  const luaL_Reg none[] = {{nullptr, nullptr}};
  const luaL_Reg event_methods[] = {{"record", guard<event_record>},
                                    {"is_over", guard<event_is_over>},
                                    {"synchronize", guard<event_synchronize>},
                                    {"since", guard<event_since>},
                                    {nullptr, nullptr}};
  const luaL_Reg graph_methods[] = {
      {"record", guard<graph_record>}, {"replay", guard<graph_replay>}, {nullptr, nullptr}};
  new_class<EventObject>(L, none, event_methods);
  new_class<GraphObject>(L, none, graph_methods);

  const luaL_Reg functions[] = {
      {"available", guard<available>},     {"device_count", guard<device_count>},
      {"describe", guard<describe>},       {"synchronize", guard<synchronize>},
      {"memory", guard<memory>},           {"reset_peak_memory", guard<reset_peak_memory>},
      {"empty_cache", guard<empty_cache>}, {"use_own_stream", guard<use_own_stream>},
      {"event", guard<new_event>},         {"graph", guard<new_graph>},
      {"pool", guard<new_pool>},           {"is_recording", guard<is_recording>},
      {"addresses", guard<addresses>},     {nullptr, nullptr}};
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
