// gamut.native.telemetry: the metrics file, TensorBoard events, the progress line and memory.
//
//   telemetry.metrics(path, {resume_step = n})      what comes after step n is dropped
//       -> writer:write(step, {train_loss = 1.5, ...}), :sync()
//   telemetry.read_metrics(path)
//       -> {series = {name = {step = {...}, value = {...}}}, events = {...}, bad_lines = n}
//   telemetry.events(folder, {resume_step = n})
//       -> writer:scalar(tag, step, x), :text(tag, step, s), :histogram(tag, step, tensor),
//          :sync(), :path()
//   telemetry.progress{total_steps =, first_step =, budget_seconds =, spent_seconds =}
//       -> progress:update(step, {loss =, tokens_per_second =, extras = {{"lr", 1e-3}, ...}}),
//          :note(text), :finish(), :seconds_left()
//   telemetry.memory() -> {resident =, resident_peak =, device =, device_peak =,
//       device_allocated_peak =} in bytes
#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <string>

#include "script/table_fields.h"
#include "script/tensor.h"
#include "script/userdata.h"
#include "telemetry/events.h"
#include "telemetry/memory.h"
#include "telemetry/metrics.h"
#include "telemetry/progress.h"

namespace gamut::script {
namespace {

using telemetry::EventWriter;
using telemetry::MetricsWriter;
using telemetry::Progress;

struct MetricsObject {
  static constexpr const char* kName = "gamut.MetricsWriter";
  std::unique_ptr<MetricsWriter> writer;
};
struct EventsObject {
  static constexpr const char* kName = "gamut.EventWriter";
  std::unique_ptr<EventWriter> writer;
};
struct ProgressObject {
  static constexpr const char* kName = "gamut.Progress";
  std::unique_ptr<Progress> progress;
};

MetricsWriter& check_metrics(lua_State* L) {
  return *check_object<MetricsObject>(L, 1).writer;
}
EventWriter& check_events(lua_State* L) {
  return *check_object<EventsObject>(L, 1).writer;
}
Progress& check_progress(lua_State* L) {
  return *check_object<ProgressObject>(L, 1).progress;
}

std::optional<double> number_field(lua_State* L, int table, const char* name) {
  std::optional<double> value;
  if (push_field(L, table, name)) {
    GAMUT_CHECK(lua_type(L, -1) == LUA_TNUMBER, "`", name, "` is a number, not a ",
                luaL_typename(L, -1));
    value = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return value;
}

// The last step that counts; -1 where the run begins again and none does.
std::optional<int64_t> step_field(lua_State* L, int table, const char* name) {
  std::optional<double> value = number_field(L, table, name);
  if (!value) return std::nullopt;
  GAMUT_CHECK(*value >= -1 && *value == static_cast<double>(static_cast<int64_t>(*value)), "`",
              name, "` is a whole number of at least -1");
  return static_cast<int64_t>(*value);
}

int64_t check_step(lua_State* L, int index) {
  lua_Integer step = luaL_checkinteger(L, index);
  luaL_argcheck(L, step >= 0, index, "a step is not negative");
  return step;
}

// Metrics

int metrics(lua_State* L) {
  const std::string path = luaL_checkstring(L, 1);
  check_fields(L, 2, "telemetry.metrics", {"resume_step"});
  push_object(
      L, MetricsObject{std::make_unique<MetricsWriter>(path, step_field(L, 2, "resume_step"))});
  return 1;
}

telemetry::MetricValue check_metric(lua_State* L, int index, const std::string& name) {
  switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index) != 0;
    case LUA_TNUMBER:
      if (lua_isinteger(L, index)) return static_cast<int64_t>(lua_tointeger(L, index));
      return lua_tonumber(L, index);
    case LUA_TSTRING:
      return std::string(lua_tostring(L, index), lua_rawlen(L, index));
    default:
      throw Error("the metric `" + name + "` is a number, string or boolean, not a " +
                  luaL_typename(L, index) + "; of a tensor take :item()");
  }
}

// Lua's tables have no order: time and tokens first, as a reader looks for them, then by name.
bool comes_before(const std::string& a, const std::string& b) {
  auto rank = [](const std::string& name) { return name == "time" ? 0 : name == "tokens" ? 1 : 2; };
  return rank(a) != rank(b) ? rank(a) < rank(b) : a < b;
}

int metrics_write(lua_State* L) {
  auto& writer = check_metrics(L);
  const int64_t step = check_step(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  telemetry::MetricFields fields;
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING, "metrics are written {name = value}");
    const std::string name = lua_tostring(L, -2);
    GAMUT_CHECK(name != "step", "`step` is the first argument, not a metric");
    fields.emplace_back(name, check_metric(L, -1, name));
  }
  std::sort(fields.begin(), fields.end(),
            [](const auto& a, const auto& b) { return comes_before(a.first, b.first); });
  writer.write(step, fields);
  return 0;
}

int metrics_sync(lua_State* L) {
  check_metrics(L).sync();
  return 0;
}

void push_series(lua_State* L, const telemetry::MetricsHistory::Series& series) {
  const int count = static_cast<int>(series.steps.size());
  lua_createtable(L, 0, 2);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; ++i) {
    lua_pushinteger(L, series.steps[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "step");
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; ++i) {
    lua_pushnumber(L, series.values[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "value");
}

int read_metrics(lua_State* L) {
  const telemetry::MetricsHistory history = telemetry::read_metrics(luaL_checkstring(L, 1));
  lua_createtable(L, 0, 3);
  lua_createtable(L, 0, static_cast<int>(history.series.size()));
  for (const auto& [name, series] : history.series) {
    lua_pushlstring(L, name.data(), name.size());
    push_series(L, series);
    lua_rawset(L, -3);
  }
  lua_setfield(L, -2, "series");
  lua_createtable(L, static_cast<int>(history.events.size()), 0);
  lua_Integer position = 0;
  for (const auto& event : history.events) {
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, event.step);
    lua_setfield(L, -2, "step");
    lua_pushlstring(L, event.name.data(), event.name.size());
    lua_setfield(L, -2, "event");
    lua_pushlstring(L, event.message.data(), event.message.size());
    lua_setfield(L, -2, "message");
    lua_rawseti(L, -2, ++position);
  }
  lua_setfield(L, -2, "events");
  lua_pushinteger(L, history.bad_lines);
  lua_setfield(L, -2, "bad_lines");
  return 1;
}

// TensorBoard

int events(lua_State* L) {
  const std::string folder = luaL_checkstring(L, 1);
  check_fields(L, 2, "telemetry.events", {"resume_step"});
  push_object(L,
              EventsObject{std::make_unique<EventWriter>(folder, step_field(L, 2, "resume_step"))});
  return 1;
}

int events_scalar(lua_State* L) {
  auto& writer = check_events(L);
  writer.scalar(luaL_checkstring(L, 2), check_step(L, 3), luaL_checknumber(L, 4));
  return 0;
}

int events_text(lua_State* L) {
  auto& writer = check_events(L);
  size_t size = 0;
  const char* text = luaL_checklstring(L, 4, &size);
  writer.text(luaL_checkstring(L, 2), check_step(L, 3), std::string(text, size));
  return 0;
}

int events_histogram(lua_State* L) {
  auto& writer = check_events(L);
  const at::Tensor values = check_tensor(L, 4).detach().to(at::kCPU, at::kDouble).contiguous();
  const double* data = values.const_data_ptr<double>();
  writer.histogram(luaL_checkstring(L, 2), check_step(L, 3), {data, data + values.numel()});
  return 0;
}

int events_path(lua_State* L) {
  lua_pushstring(L, check_events(L).path().c_str());
  return 1;
}

int events_sync(lua_State* L) {
  check_events(L).sync();
  return 0;
}

// Progress

int progress(lua_State* L) {
  check_fields(L, 1, "telemetry.progress",
               {"total_steps", "first_step", "budget_seconds", "spent_seconds"});
  telemetry::ProgressPlan plan;
  plan.total_steps = step_field(L, 1, "total_steps").value_or(0);
  plan.first_step = step_field(L, 1, "first_step").value_or(0);
  plan.budget_seconds = number_field(L, 1, "budget_seconds").value_or(0);
  plan.spent_seconds = number_field(L, 1, "spent_seconds").value_or(0);
  push_object(L, ProgressObject{std::make_unique<Progress>(
                     plan, telemetry::ProgressOutput::standard_error())});
  return 1;
}

// {{"lr", 0.001}, {"val_bpb", "1.92"}}: in this order; numbers in four digits.
void read_extras(lua_State* L, telemetry::ProgressUpdate& update) {
  luaL_checktype(L, -1, LUA_TTABLE);
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
    GAMUT_CHECK(lua_istable(L, -1), "`extras` is a list of {name, value}");
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    GAMUT_CHECK(lua_type(L, -2) == LUA_TSTRING, "`extras` is a list of {name, value}");
    std::string name = lua_tostring(L, -2);
    if (lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1)) {
      char text[32];
      std::snprintf(text, sizeof(text), "%.4g", lua_tonumber(L, -1));
      update.extras.emplace_back(name, text);
    } else {
      update.extras.emplace_back(name, luaL_tolstring(L, -1, nullptr));
      lua_pop(L, 1);
    }
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
}

int progress_update(lua_State* L) {
  auto& progress = check_progress(L);
  telemetry::ProgressUpdate update;
  update.step = check_step(L, 2);
  lua_settop(L, 3);
  check_fields(L, 3, "progress:update", {"loss", "tokens_per_second", "extras"});
  update.loss = number_field(L, 3, "loss");
  update.tokens_per_second = number_field(L, 3, "tokens_per_second");
  if (lua_istable(L, 3) && lua_getfield(L, 3, "extras") != LUA_TNIL) read_extras(L, update);
  progress.update(update);
  return 0;
}

int progress_note(lua_State* L) {
  check_progress(L).note(luaL_checkstring(L, 2));
  return 0;
}

int progress_finish(lua_State* L) {
  check_progress(L).finish();
  return 0;
}

int progress_seconds_left(lua_State* L) {
  const std::optional<double> left = check_progress(L).seconds_left();
  left ? lua_pushnumber(L, *left) : lua_pushnil(L);
  return 1;
}

int memory(lua_State* L) {
  const telemetry::MemoryUse use = telemetry::memory_use();
  lua_createtable(L, 0, 4);
  auto set = [L](const char* name, int64_t bytes) {
    lua_pushinteger(L, bytes);
    lua_setfield(L, -2, name);
  };
  set("resident", use.resident);
  set("resident_peak", use.resident_peak);
  set("device", use.device);
  set("device_peak", use.device_peak);
  set("device_allocated_peak", use.device_allocated_peak);
  return 1;
}

}  // namespace

int open_telemetry(lua_State* L) {
  const luaL_Reg of_metrics[] = {
      {"write", guard<metrics_write>}, {"sync", guard<metrics_sync>}, {nullptr, nullptr}};
  const luaL_Reg of_events[] = {
      {"scalar", guard<events_scalar>},       {"text", guard<events_text>},
      {"histogram", guard<events_histogram>}, {"path", guard<events_path>},
      {"sync", guard<events_sync>},           {nullptr, nullptr}};
  const luaL_Reg of_progress[] = {{"update", guard<progress_update>},
                                  {"note", guard<progress_note>},
                                  {"finish", guard<progress_finish>},
                                  {"seconds_left", guard<progress_seconds_left>},
                                  {nullptr, nullptr}};
  const luaL_Reg functions[] = {{"metrics", guard<metrics>}, {"read_metrics", guard<read_metrics>},
                                {"events", guard<events>},   {"progress", guard<progress>},
                                {"memory", guard<memory>},   {nullptr, nullptr}};
  const luaL_Reg none[] = {{nullptr, nullptr}};
  new_class<MetricsObject>(L, none, of_metrics);
  new_class<EventsObject>(L, none, of_events);
  new_class<ProgressObject>(L, none, of_progress);
  luaL_newlib(L, functions);
  return 1;
}

}  // namespace gamut::script
