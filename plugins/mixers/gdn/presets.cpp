// Named sets of option values; README.md has them as a table.
#include "presets.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace gamut::gdn {
namespace {

struct Preset {
  std::string name;
  OptionMap values;
};

using Numbers = std::vector<double>;

// The residual branches of a model of so many layers, two a layer, add up to unit variance.
double residual_scale(int layers) {
  return 1 / std::sqrt(2.0 * layers);
}

OptionMap fla() {
  return {{"expand_v", 2.0},
          {"use_short_conv", true},
          {"use_gate", true},
          {"use_out_norm", true},
          {"activation", "silu"},
          {"allow_neg_eigval", false},
          {"qk_norm", "l2"},
          {"decay", "mamba"},
          {"b_bias", false},
          {"norm_eps", 1e-5},
          {"init", "normal"},
          {"out_init_scale", 1.0},
          {"gate_init_scale", 1.0},
          {"A_init_range", Numbers{0, 16}},
          {"dt_init_range", Numbers{0.001, 0.1}}};
}

const std::vector<Preset>& presets() {
  static const auto* all = new std::vector<Preset>{
      {"fla", fla()},
      {"olmo", {{"allow_neg_eigval", true}}},
      // dt_bias is 1 at the start: softplus(1) = 1.3132617.
      {"qwen3_next",
       {{"head_dim", int64_t{128}},
        {"expand_v", 1.0},
        {"norm_eps", 1e-6},
        {"dt_init_range", Numbers{1.3132616875182228, 1.3132616875182228}}}},
      {"golf",
       {{"allow_neg_eigval", true},
        {"norm_eps", 1.1920928955078125e-7},  // of float32, at any dtype
        {"init", "kaiming"},
        {"out_init_scale", 0.0},
        {"A_init_range", Numbers{1, 16}}}},
      {"speech",
       {{"allow_neg_eigval", true},
        {"qk_norm", "l2_clamp"},
        {"scale", 1.0},
        {"init", "xavier"},
        {"out_init_scale", residual_scale(8)}}},
      {"music",
       {{"head_dim", int64_t{64}},
        {"expand_v", 1.0},
        {"use_short_conv", false},
        {"use_gate", false},
        {"use_out_norm", false},
        {"activation", "none"},
        {"qk_norm", "rms_l2"},
        {"decay", "sigmoid"},
        {"b_bias", true},
        {"scale", 1.0},
        {"init", "xavier"},
        {"gate_init_scale", 0.0},
        {"out_init_scale", residual_scale(22)}}}};
  return *all;
}

const Preset& find(const std::string& name) {
  for (const auto& preset : presets()) {
    if (preset.name == name) return preset;
  }
  throw Error("no preset is called `" + name + "`");  // the option's choices come before this
}

std::string number_text(double number) {
  std::array<char, 32> buffer{};
  auto* const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr;
  return {buffer.data(), end};
}

std::string value_text(const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value.base())) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value.base())) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value.base())) return number_text(*number);
  if (const auto* text = std::get_if<std::string>(&value.base())) return *text;
  std::string list;
  for (const double number : std::get<Numbers>(value.base())) {
    list += (list.empty() ? "" : ", ") + number_text(number);
  }
  return "{" + list + "}";
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& preset : presets()) names.push_back(preset.name);
  return names;
}

std::string preset_text(const std::string& name) {
  std::string text;
  for (const auto& [option, value] : find(name).values) {
    text += (text.empty() ? "" : ", ") + option + " = " + value_text(value);
  }
  return name + ": " + text;
}

std::string preset_default(const std::string& option) {
  const auto& values = presets().front().values;
  const auto found = values.find(option);
  return found == values.end() ? "" : value_text(found->second);
}

Options with_preset(const Options& given) {
  Options result = given;
  for (const auto* preset : {&find(given.string("preset")), &presets().front()}) {
    for (const auto& [option, value] : preset->values) {
      if (!result.has(option)) result.set(option, value);
    }
  }
  return result;
}

}  // namespace gamut::gdn
