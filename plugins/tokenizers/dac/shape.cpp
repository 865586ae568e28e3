// Reading of sizes from the original package's `kwargs` and from transformers' configuration.
#include "shape.h"

#include <c10/util/ArrayRef.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

namespace gamut::dac {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

const std::map<std::string, Shape>& variants() {
  static const auto* table = [] {
    auto* shapes = new std::map<std::string, Shape>;
    (*shapes)["44khz"] = Shape{};
    Shape& fine = (*shapes)["44khz_16kbps"];
    fine.codebooks = 18;
    fine.latent_dim = 128;
    Shape low;
    low.encoder_rates = {2, 4, 5, 8};
    low.decoder_rates = {8, 5, 4, 2};
    low.sample_rate = 24000;
    low.codebooks = 32;
    (*shapes)["24khz"] = low;
    low.sample_rate = 16000;
    low.codebooks = 12;
    (*shapes)["16khz"] = low;
    return shapes;
  }();
  return *table;
}

// A size of the shape and what each source calls it.
struct Size {
  const char* option;
  const char* doc;
  const char* original;      // in kwargs
  const char* transformers;  // in config.json
  int64_t Shape::* number = nullptr;
  std::vector<int64_t> Shape::* list = nullptr;
};

const std::vector<Size>& sizes() {
  static const auto* table = new std::vector<Size>{
      {"sample_rate", "Hz of the audio", "sample_rate", "sampling_rate", &Shape::sample_rate},
      {"encoder_dim", "channels of the first convolution", "encoder_dim", "encoder_hidden_size",
       &Shape::encoder_dim},
      {"encoder_rates", "strides of the encoder; their product is the samples of a frame",
       "encoder_rates", "downsampling_ratios", nullptr, &Shape::encoder_rates},
      {"latent_dim",
       "channels between encoder and quantizer; by default what the encoder ends with",
       "latent_dim", "hidden_size", &Shape::latent_dim},
      {"decoder_dim", "channels that the decoder begins with", "decoder_dim", "decoder_hidden_size",
       &Shape::decoder_dim},
      {"decoder_rates", "strides of the decoder", "decoder_rates", "upsampling_ratios", nullptr,
       &Shape::decoder_rates},
      {"n_codebooks", "codebooks that the weights hold; `codebooks` is how many are used",
       "n_codebooks", "n_codebooks", &Shape::codebooks},
      {"codebook_size", "entries of a codebook", "codebook_size", "codebook_size",
       &Shape::codebook_size},
      {"codebook_dim", "channels of an entry", "codebook_dim", "codebook_dim",
       &Shape::codebook_dim}};
  return *table;
}

int64_t natural_latent(const Shape& shape) {
  return shape.encoder_width(shape.encoder_rates.size());
}

// A number of the JSON, or of a list whose elements are all the same (codebook_dim may be one).
std::optional<int64_t> whole_number(const Json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_array() || value.empty() || !value[0].is_number_integer()) return std::nullopt;
  for (const auto& element : value) {
    if (element != value[0]) return std::nullopt;
  }
  return value[0].get<int64_t>();
}

// Puts the sizes that `json` has into the shape, as constructor arguments are given: what is not
// there is the default, and the latent width follows from the encoder.
Shape shape_of_json(const Json& json, bool original, const std::string& where) {
  Shape shape;
  bool has_latent = false;
  for (const auto& size : sizes()) {
    const auto found = json.find(original ? size.original : size.transformers);
    if (found == json.end() || found->is_null()) continue;
    const std::string what = c10::str(where, ": `", found.key(), "` is ", found->dump());
    if (size.number) {
      const auto number = whole_number(*found);
      GAMUT_CHECK(number, what, " and must be a whole number");
      shape.*size.number = *number;
      has_latent = has_latent || size.number == &Shape::latent_dim;
    } else {
      shape.*size.list = {};
      GAMUT_CHECK(found->is_array(), what, " and must be a list");
      for (const auto& element : *found) {
        GAMUT_CHECK(element.is_number_integer(), what, " and must be a list of whole numbers");
        (shape.*size.list).push_back(element.get<int64_t>());
      }
    }
  }
  if (!has_latent && shape.encoder_rates.size() < 16) shape.latent_dim = natural_latent(shape);
  return shape;
}

std::optional<Shape> shape_in_file(const fs::path& config) {
  std::error_code none;
  if (!fs::is_regular_file(config, none)) return std::nullopt;
  std::ifstream file(config);
  const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  const auto type = json.find("model_type");
  if (type == json.end() || *type != "dac") return std::nullopt;  // of some other model
  return shape_of_json(json, /*original=*/false, config.string());
}

// X_config.json for X.safetensors, or the config.json of its folder.
std::optional<Shape> shape_beside(const fs::path& weights) {
  const std::string named = weights.stem().string() + "_config.json";
  if (auto shape = shape_in_file(weights.parent_path() / named)) return shape;
  return shape_in_file(weights.parent_path() / "config.json");
}

std::optional<Shape> shape_from_file(const std::string& weights,
                                     const std::map<std::string, std::string>& metadata) {
  const auto kwargs = metadata.find("kwargs");
  if (kwargs == metadata.end()) return shape_beside(weights);
  const Json json = Json::parse(kwargs->second, nullptr, /*allow_exceptions=*/false);
  GAMUT_CHECK(json.is_object(), weights,
              ": `kwargs` in its metadata is not a JSON object of constructor arguments");
  return shape_of_json(json, /*original=*/true, weights + ", kwargs");
}

// `dim` halved or doubled `times` stays a whole number below 2^20.
void check_widths(const char* name, int64_t dim, size_t times, bool halves) {
  constexpr int64_t kMax = 1 << 20;
  const bool good = dim >= 1 && dim <= kMax && times <= 16 &&
                    (halves ? dim % (int64_t{1} << times) == 0 : (dim << times) <= kMax);
  GAMUT_CHECK(good, name, " = ", dim, " must be from 1 to ", kMax, " also when it is ",
              halves ? "halved" : "doubled", " ", times, " times, once a rate");
}

void check_rates(const char* name, const std::vector<int64_t>& rates) {
  int64_t product = 1;
  GAMUT_CHECK(!rates.empty() && rates.size() <= 16, name, " must list 1 to 16 strides");
  for (const int64_t rate : rates) {
    GAMUT_CHECK(rate >= 1 && rate <= 1024 && product * rate <= 1 << 16, name, " = ",
                c10::IntArrayRef(rates),
                ": strides are 1 to 1024, and their product at most 65536");
    product *= rate;
  }
}

void check(const Shape& shape) {
  check_rates("encoder_rates", shape.encoder_rates);
  check_rates("decoder_rates", shape.decoder_rates);
  check_widths("encoder_dim", shape.encoder_dim, shape.encoder_rates.size(), false);
  check_widths("decoder_dim", shape.decoder_dim, shape.decoder_rates.size(), true);
  const auto product = [](const std::vector<int64_t>& rates) {
    return std::accumulate(rates.begin(), rates.end(), int64_t{1}, std::multiplies<>());
  };
  GAMUT_CHECK(product(shape.encoder_rates) == product(shape.decoder_rates),
              "encoder_rates = ", c10::IntArrayRef(shape.encoder_rates),
              " and decoder_rates = ", c10::IntArrayRef(shape.decoder_rates),
              " must have the same product");
  const auto in_range = [](const char* name, int64_t value, int64_t most) {
    GAMUT_CHECK(value >= 1 && value <= most, name, " = ", value, " must be from 1 to ", most);
  };
  in_range("latent_dim", shape.latent_dim, 1 << 20);
  in_range("n_codebooks", shape.codebooks, 1024);
  in_range("codebook_size", shape.codebook_size, 65536);
  in_range("codebook_dim", shape.codebook_dim, 4096);
  in_range("sample_rate", shape.sample_rate, 10'000'000);
}

}  // namespace

int64_t Shape::hop_length() const {
  return std::accumulate(encoder_rates.begin(), encoder_rates.end(), int64_t{1},
                         std::multiplies<>());
}

int64_t Shape::samples(int64_t frames) const {
  if (frames == 0) return 0;
  for (const int64_t rate : decoder_rates) frames = (frames + 1) * rate - (rate + 1) / 2 * 2;
  return frames;
}

std::vector<std::string> variant_names() {
  return {"44khz", "44khz_16kbps", "24khz", "16khz"};
}

Shape variant(const std::string& name) {
  return variants().at(name);
}

std::map<std::string, std::string> sizes_beside(const std::string& name, const Shape& shape) {
  const Shape published = variant(name);
  std::map<std::string, std::string> changed;
  for (const auto& size : sizes()) {
    if (size.number && shape.*size.number != published.*size.number) {
      changed[size.option] = std::to_string(shape.*size.number);
    } else if (size.list && shape.*size.list != published.*size.list) {
      changed[size.option] = c10::str(c10::IntArrayRef(shape.*size.list));
    }
  }
  return changed;
}

OptionTable shape_options() {
  OptionTable table;
  for (const auto& size : sizes()) {
    auto spec = size.number ? option::integer(size.option, size.doc)
                            : option::integers(size.option, size.doc);
    table.push_back(std::move(spec).at_least(1).optional());
  }
  return table;
}

Shape shape_of(const Options& options, const std::string& weights,
               const std::map<std::string, std::string>& metadata) {
  Shape shape;
  if (options.has("variant")) {
    shape = variant(options.string("variant"));
  } else if (weights != "random") {
    const auto found = shape_from_file(weights, metadata);
    shape = found.value_or(Shape{});
    shape.told = found.has_value();
  }
  for (const auto& size : sizes()) {
    if (!options.has(size.option)) continue;
    if (size.number) {
      shape.*size.number = options.integer(size.option);
    } else {
      shape.*size.list = options.integers(size.option);
    }
  }
  const bool resized = options.has("encoder_dim") || options.has("encoder_rates");
  if (resized && !options.has("latent_dim") && shape.encoder_rates.size() < 16) {
    shape.latent_dim = natural_latent(shape);
  }
  check(shape);
  return shape;
}

}  // namespace gamut::dac
