#include "shape.h"

#include <c10/util/ArrayRef.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <tuple>

namespace gamut::encodec {
namespace {

using Json = nlohmann::json;

template <class Value>
void read(const Json& config, const char* key, Value& value, const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  try {
    found->get_to(value);
  } catch (const Json::exception&) {
    throw Error(c10::str(where, ": `", key, "` is ", found->dump(), ", which is of another type"));
  }
}

// Settings that every published model shares, and that nothing here depends on.
template <class Value>
void expect(const Json& config, const char* key, const Value& only, const std::string& where) {
  Value value = only;
  read(config, key, value, where);
  GAMUT_CHECK(value == only, where, ": `", key, "` is ", value, "; only models that have ", only,
              " can be run");
}

void read_sizes(const Json& config, Shape& shape, const std::string& where) {
  read(config, "sampling_rate", shape.sample_rate, where);
  read(config, "audio_channels", shape.channels, where);
  read(config, "num_filters", shape.n_filters, where);
  read(config, "hidden_size", shape.dimension, where);
  read(config, "upsampling_ratios", shape.ratios, where);
  read(config, "num_residual_layers", shape.residual_layers, where);
  read(config, "kernel_size", shape.kernel_size, where);
  read(config, "last_kernel_size", shape.last_kernel_size, where);
  read(config, "residual_kernel_size", shape.residual_kernel_size, where);
  read(config, "dilation_growth_rate", shape.dilation_base, where);
  read(config, "compress", shape.compress, where);
  read(config, "num_lstm_layers", shape.lstm_layers, where);
  read(config, "codebook_size", shape.codebook_size, where);
  read(config, "use_causal_conv", shape.causal, where);
  read(config, "normalize", shape.normalize, where);
  read(config, "use_conv_shortcut", shape.conv_shortcut, where);
  expect(config, "pad_mode", std::string("reflect"), where);
  expect(config, "trim_right_ratio", 1.0, where);
  expect(config, "codebook_dim", shape.dimension, where);
}

void read_norm(const Json& config, Shape& shape, const std::string& where) {
  std::string norm = "weight_norm";
  read(config, "norm_type", norm, where);
  GAMUT_CHECK(norm == "weight_norm" || norm == "time_group_norm", where, ": `norm_type` is `", norm,
              "`; it must be weight_norm or time_group_norm");
  shape.group_norm = norm == "time_group_norm";
}

// int(seconds * rate) and int((1 - overlap) * length), as Python rounds them.
void set_segments(Shape& shape, double seconds, double overlap) {
  shape.segment = static_cast<int64_t>(seconds * static_cast<double>(shape.sample_rate));
  shape.segment_stride = std::max<int64_t>(
      1, static_cast<int64_t>((1.0 - overlap) * static_cast<double>(shape.segment)));
}

void read_segments(const Json& config, Shape& shape, const std::string& where) {
  double seconds = 0, overlap = 0.01;
  read(config, "chunk_length_s", seconds, where);
  read(config, "overlap", overlap, where);
  GAMUT_CHECK(seconds <= 3600 && overlap >= 0 && overlap < 1, where, ": chunk_length_s is ",
              seconds, " and overlap ", overlap,
              "; they must be at most 3600, and from 0 to below 1");
  if (seconds > 0) set_segments(shape, seconds, overlap);
}

// A file holds as many codebooks as its highest bandwidth needs.
void read_codebooks(const Json& config, Shape& shape, const std::string& where) {
  std::vector<double> bandwidths{1.5, 3, 6, 12, 24};
  read(config, "target_bandwidths", bandwidths, where);
  GAMUT_CHECK(!bandwidths.empty(), where, ": `target_bandwidths` is empty");
  GAMUT_CHECK(bandwidths.back() > 0 && bandwidths.back() <= 1e5, where,
              ": the last of `target_bandwidths` is ", bandwidths.back(), " kbps");
  GAMUT_CHECK(shape.codebook_size > 1, where, ": codebook_size is ", shape.codebook_size);
  const auto each = static_cast<double>(shape.frame_rate() * shape.bits());
  shape.codebooks = static_cast<int64_t>(std::floor(1000 * bandwidths.back() / each));
}

// Room for any model, and none for sizes that overflow on the way.
void check_sizes(const Shape& shape, const std::string& where) {
  constexpr int64_t kMaxWidth = 1 << 20;
  const std::tuple<const char*, int64_t, int64_t> sizes[] = {
      {"sample_rate", shape.sample_rate, 10'000'000},
      {"n_filters", shape.n_filters, kMaxWidth},
      {"dimension", shape.dimension, kMaxWidth},
      {"residual_layers", shape.residual_layers, 8},
      {"kernel_size", shape.kernel_size, 4096},
      {"last_kernel_size", shape.last_kernel_size, 4096},
      {"residual_kernel_size", shape.residual_kernel_size, 4096},
      {"dilation_base", shape.dilation_base, 16},
      {"compress", shape.compress, kMaxWidth},
      {"lstm_layers", shape.lstm_layers, 64},
      {"codebooks", shape.codebooks, 1024},
      {"codebook_size", shape.codebook_size, 65536},
      {"channels", shape.channels, 2}};
  for (const auto& [name, size, most] : sizes) {
    GAMUT_CHECK(size >= 1 && size <= most, where, ": ", name, " is ", size,
                "; it must be from 1 to ", most);
  }
  GAMUT_CHECK(shape.n_filters % shape.compress == 0, where, ": ", shape.n_filters,
              " filters are not divisible by compress ", shape.compress);
  GAMUT_CHECK(!shape.ratios.empty() && shape.ratios.size() <= 16 && shape.widest() <= kMaxWidth,
              where, ": there are ", shape.ratios.size(), " ratios, each of which doubles ",
              shape.n_filters, " filters; there must be 1 to 16, and in the end at most ",
              kMaxWidth, " filters");
  int64_t product = 1;
  for (const int64_t ratio : shape.ratios) {
    GAMUT_CHECK(ratio >= 1 && ratio <= 1024 && product * ratio <= 65536, where, ": the ratios are ",
                c10::IntArrayRef(shape.ratios),
                "; each must be from 1 to 1024, and their product at most 65536");
    product *= ratio;
  }
}

void check(const Shape& shape, const std::string& where) {
  check_sizes(shape, where);
  GAMUT_CHECK(shape.codebook_size == int64_t{1} << shape.bits(), where, ": codebook_size ",
              shape.codebook_size, " is no power of 2");
  GAMUT_CHECK(!shape.group_norm || (shape.segment > 0 && !shape.causal), where,
              ": time_group_norm needs segments and convolutions that are not causal, since it "
              "takes the mean of a whole segment");
  GAMUT_CHECK(!shape.normalize || shape.segment > 0, where,
              ": normalize needs segments (chunk_length_s), since it takes the RMS of each");
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  GAMUT_CHECK(file.good() || file.eof(), "cannot read ", path.string());
  return text.str();
}

// The configuration beside a file of weights, or an empty path.
std::filesystem::path config_beside(const std::filesystem::path& weights) {
  const std::filesystem::path folder = weights.parent_path();
  for (const auto& name : {weights.stem().string() + "_config.json", std::string("config.json")}) {
    if (std::filesystem::is_regular_file(folder / name)) return folder / name;
  }
  return {};
}

Shape published_or_configured(const Options& options) {
  if (options.has("variant")) return shape_of_variant(options.string("variant"));
  const std::string& weights = options.string("weights");
  const auto config = weights == "random" ? std::filesystem::path() : config_beside(weights);
  if (!config.empty()) return shape_of_config(read_text(config), config.string());
  Shape shape;
  shape.told = false;
  return shape;
}

}  // namespace

int64_t Shape::hop_length() const {
  return std::accumulate(ratios.begin(), ratios.end(), int64_t{1}, std::multiplies<>());
}

int64_t Shape::frame_rate() const {
  const int64_t hop = hop_length();
  return (sample_rate + hop - 1) / hop;
}

int64_t Shape::bits() const {
  int64_t count = 0;
  while ((int64_t{2} << count) <= codebook_size) ++count;
  return count;
}

int64_t Shape::widest() const {
  return n_filters << ratios.size();
}

std::string Shape::text() const {
  return c10::str(
      "sample_rate ", sample_rate, ", channels ", channels, ", n_filters ", n_filters,
      ", dimension ", dimension, ", ratios ", c10::ArrayRef<int64_t>(ratios), ", residual_layers ",
      residual_layers, ", kernels ", kernel_size, " ", residual_kernel_size, " ", last_kernel_size,
      ", dilation_base ", dilation_base, ", compress ", compress, ", lstm_layers ", lstm_layers,
      ", codebooks ", codebooks, " of ", codebook_size, causal ? ", causal" : "",
      group_norm ? ", time_group_norm" : "", normalize ? ", normalize" : "",
      conv_shortcut ? "" : ", no conv_shortcut", ", segment ", segment, " every ", segment_stride);
}

Shape shape_of_variant(const std::string& variant) {
  Shape shape;
  if (variant == "48khz") {
    shape.name = "encodec_48khz";
    shape.sample_rate = 48000;
    shape.channels = 2;
    shape.codebooks = 16;
    shape.causal = false;
    shape.group_norm = shape.normalize = true;
    set_segments(shape, 1.0, 0.01);
  } else if (variant == "32khz") {
    shape.name.clear();
    shape.sample_rate = 32000;
    shape.n_filters = 64;
    shape.ratios = {8, 5, 4, 4};
    shape.codebooks = 4;
    shape.codebook_size = 2048;
    shape.causal = shape.conv_shortcut = false;
  }
  return shape;
}

Shape shape_of_config(const std::string& json, const std::string& where) {
  Json config = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  GAMUT_CHECK(config.is_object(), where, " is no JSON object");
  if (config.contains("audio_encoder")) config = Json(config["audio_encoder"]);
  GAMUT_CHECK(config.is_object() && config.value("model_type", Json()) == "encodec", where,
              ": `model_type` is not `encodec`; is it the configuration of another model?");
  Shape shape;
  read_sizes(config, shape, where);
  read_norm(config, shape, where);
  check_sizes(shape, where);
  read_segments(config, shape, where);
  read_codebooks(config, shape, where);
  // The authors' program knows two models, and tells them by name.
  shape.name = shape.sample_rate == 24000 && shape.channels == 1   ? "encodec_24khz"
               : shape.sample_rate == 48000 && shape.channels == 2 ? "encodec_48khz"
                                                                   : "";
  check(shape, where);
  return shape;
}

Shape shape_of_options(const Options& options) {
  Shape shape = published_or_configured(options);
  const auto set = [&](const char* name, int64_t& size) {
    if (options.has(name)) size = options.integer(name);
  };
  set("n_filters", shape.n_filters);
  set("dimension", shape.dimension);
  set("lstm_layers", shape.lstm_layers);
  set("n_codebooks", shape.codebooks);
  if (options.has("ratios")) shape.ratios = options.integers("ratios");
  check(shape, "encodec");
  return shape;
}

int64_t codebooks_at(const Shape& shape, double kbps) {
  const double each = static_cast<double>(shape.frame_rate() * shape.bits()) / 1000;
  const auto count = static_cast<int64_t>(std::llround(kbps / each));
  GAMUT_CHECK(std::abs(kbps - static_cast<double>(count) * each) < 1e-6 && count >= 1 &&
                  count <= shape.codebooks,
              "bandwidth is ", kbps, " kbps; a codebook of this model takes ", each,
              " kbps, so it must be a multiple of that, up to ",
              each * static_cast<double>(shape.codebooks));
  return count;
}

}  // namespace gamut::encodec
