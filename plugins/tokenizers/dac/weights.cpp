// Names follow the modules of descript-audio-codec 1.0.0 and of transformers' DacModel.
#include "weights.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gamut::dac {
namespace {

using at::Tensor;

enum class Role { conv, transposed_conv, alpha, codebook };

struct Part {
  std::string original, transformers;  // without .weight and the like
  Role role;
  std::vector<int64_t> shape;  // of the weight, or of alpha
  // Rows of a random weight have a norm in this range.
  double low = 0.7, high = 1.3;
};

class Parts {
 public:
  explicit Parts(const Shape& shape) {
    encoder(shape);
    quantizer(shape);
    decoder(shape);
  }
  std::vector<Part> take() { return std::move(parts_); }

 private:
  void conv(const std::string& original, const std::string& transformers, int64_t in, int64_t out,
            int64_t kernel, double low = 0.7, double high = 1.3) {
    parts_.push_back({original, transformers, Role::conv, {out, in, kernel}, low, high});
  }
  void alpha(const std::string& original, const std::string& transformers, int64_t channels) {
    parts_.push_back({original, transformers, Role::alpha, {1, channels, 1}, 0.3, 2.0});
  }
  void unit(const std::string& original, const std::string& transformers, int64_t channels) {
    alpha(original + ".block.0", transformers + ".snake1", channels);
    conv(original + ".block.1", transformers + ".conv1", channels, channels, 7);
    alpha(original + ".block.2", transformers + ".snake2", channels);
    conv(original + ".block.3", transformers + ".conv2", channels, channels, 1, 0.2, 0.5);
  }

  void encoder(const Shape& shape) {
    const size_t rates = shape.encoder_rates.size();
    conv("encoder.block.0", "encoder.conv1", 1, shape.encoder_dim, 7, 2, 4);
    for (size_t b = 0; b < rates; ++b) {
      const std::string from = c10::str("encoder.block.", b + 1, ".block."),
                        to = c10::str("encoder.block.", b, ".");
      const int64_t width = shape.encoder_width(b), rate = shape.encoder_rates[b];
      for (int u = 0; u < 3; ++u) unit(c10::str(from, u), c10::str(to, "res_unit", u + 1), width);
      alpha(from + "3", to + "snake1", width);
      conv(from + "4", to + "conv1", width, 2 * width, 2 * rate);
    }
    const int64_t last = shape.encoder_width(rates);
    alpha(c10::str("encoder.block.", rates + 1), "encoder.snake1", last);
    conv(c10::str("encoder.block.", rates + 2), "encoder.conv2", last, shape.latent_dim, 3);
  }

  void quantizer(const Shape& shape) {
    for (int64_t i = 0; i < shape.codebooks; ++i) {
      const std::string name = c10::str("quantizer.quantizers.", i, ".");
      conv(name + "in_proj", name + "in_proj", shape.latent_dim, shape.codebook_dim, 1);
      conv(name + "out_proj", name + "out_proj", shape.codebook_dim, shape.latent_dim, 1, 0.15,
           0.3);
      parts_.push_back({name + "codebook",
                        name + "codebook",
                        Role::codebook,
                        {shape.codebook_size, shape.codebook_dim},
                        0.5,
                        1.5});
    }
  }

  void decoder(const Shape& shape) {
    const size_t rates = shape.decoder_rates.size();
    conv("decoder.model.0", "decoder.conv1", shape.latent_dim, shape.decoder_dim, 7);
    for (size_t b = 0; b < rates; ++b) {
      const std::string from = c10::str("decoder.model.", b + 1, ".block."),
                        to = c10::str("decoder.block.", b, ".");
      const int64_t width = shape.decoder_width(b), rate = shape.decoder_rates[b];
      alpha(from + "0", to + "snake1", width);
      const double gain = std::sqrt(static_cast<double>(rate) / 2);
      parts_.push_back({from + "1",
                        to + "conv_t1",
                        Role::transposed_conv,
                        {width, width / 2, 2 * rate},
                        0.8 * gain,
                        1.2 * gain});
      for (int u = 0; u < 3; ++u) {
        unit(c10::str(from, u + 2), c10::str(to, "res_unit", u + 1), width / 2);
      }
    }
    const int64_t last = shape.decoder_width(rates);
    alpha(c10::str("decoder.model.", rates + 1), "decoder.snake1", last);
    conv(c10::str("decoder.model.", rates + 2), "decoder.conv2", last, 1, 7, 0.15, 0.25);
  }

  std::vector<Part> parts_;
};

// How a convolution's weight is written: its direction and its norm, or folded into one.
struct Writing {
  const char* name;  // for messages
  const char* norm;  // null: folded
  const char* direction;
};
constexpr Writing kWeightNorm = {"", ".weight_g", ".weight_v"};
constexpr Writing kParametrized = {", parametrizations", ".parametrizations.weight.original0",
                                   ".parametrizations.weight.original1"};
constexpr Writing kFolded = {", folded", nullptr, ".weight"};

struct Layout {
  std::string name;
  bool original;  // the original package's module names, not transformers'
  Writing writing;
};

const std::vector<Layout>& layouts() {
  static const auto* table = [] {
    auto* all = new std::vector<Layout>;
    all->push_back({"original", true, kWeightNorm});
    all->push_back({"transformers", false, kFolded});
    all->push_back({"original, parametrizations", true, kParametrized});
    all->push_back({"original, folded", true, kFolded});
    all->push_back({"transformers, weight norm", false, kWeightNorm});
    all->push_back({"transformers, parametrizations", false, kParametrized});
    return all;
  }();
  return *table;
}

constexpr char kUntold[] =
    " since neither variant=NAME nor a config.json beside it tells its sizes,";

const std::string& name_in(const Layout& layout, const Part& part) {
  return layout.original ? part.original : part.transformers;
}

std::vector<state::Expected> expected_in(const Layout& layout, const std::vector<Part>& parts) {
  std::vector<state::Expected> expected;
  for (const auto& part : parts) {
    const std::string& name = name_in(layout, part);
    if (part.role == Role::alpha) {
      expected.push_back({name + ".alpha", part.shape});
    } else if (part.role == Role::codebook) {
      expected.push_back({name + ".weight", part.shape});
    } else {
      const int64_t out = part.shape[part.role == Role::transposed_conv ? 1 : 0];
      expected.push_back({name + ".bias", {out}});
      if (layout.writing.norm) {
        expected.push_back({name + layout.writing.norm, {part.shape[0], 1, 1}});
      }
      expected.push_back({name + layout.writing.direction, part.shape});
    }
  }
  return expected;
}

// Weight norm: g v / ||v||, the norm over every axis but the first.
Tensor folded(const Tensor& norm, const Tensor& direction) {
  const Tensor v = direction.to(at::kFloat);
  const Tensor length = v.square().sum(at::IntArrayRef{1, 2}, /*keepdim=*/true, at::kDouble).sqrt();
  return v.mul((norm.to(at::kDouble) / length).to(at::kFloat));
}

// The layout that knows most of the names; of several, the first of the table.
const Layout& layout_of(const std::vector<Part>& parts, const NamedTensors& given) {
  const Layout* best = nullptr;
  int64_t most = -1;
  for (const auto& layout : layouts()) {
    const int64_t known = state::known_names(expected_in(layout, parts), given);
    if (known > most) best = &layout, most = known;
  }
  return *best;
}

// Numbers in [0, 1) that depend on nothing but the seed: SplitMix64 (Steele, Lea, Flood, 2014).
class Draws {
 public:
  explicit Draws(int64_t seed) : state_(static_cast<uint64_t>(seed)) {}
  double next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  double between(double low, double high) { return low + (high - low) * next(); }
  Tensor fill(at::IntArrayRef shape, double low, double high) {
    Tensor tensor = at::empty(shape, at::kFloat);
    auto* data = tensor.data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) data[i] = static_cast<float>(between(low, high));
    return tensor;
  }

 private:
  uint64_t state_;
};

}  // namespace

std::vector<std::string> layout_names() {
  std::vector<std::string> names;
  for (const auto& layout : layouts()) names.push_back(layout.name);
  return names;
}

std::vector<state::Expected> expected_tensors(const Shape& shape, const std::string& layout) {
  for (const auto& candidate : layouts()) {
    if (candidate.name == layout) return expected_in(candidate, Parts(shape).take());
  }
  throw Error("there is no layout `" + layout + "` of DAC weights");
}

Weights load_weights(const Shape& shape, const NamedTensors& given, const std::string& path) {
  const auto tensors = state::without_prefix(given, "state_dict.");
  const auto parts = Parts(shape).take();
  const Layout& layout = layout_of(parts, tensors);
  const auto found = state::load_exactly(
      c10::str(path, ", read as DAC of ", shape.sample_rate, " Hz with ", shape.codebooks,
               " codebooks (layout: ", layout.name, "),", shape.told ? "" : kUntold),
      expected_in(layout, parts), tensors);
  Weights weights;
  for (const auto& part : parts) {
    const std::string &from = name_in(layout, part), &to = part.transformers;
    if (part.role == Role::alpha) {
      weights[to + ".alpha"] = found.at(from + ".alpha").to(at::kFloat);
    } else if (part.role == Role::codebook) {
      weights[to + ".weight"] = found.at(from + ".weight").to(at::kFloat);
    } else {
      weights[to + ".bias"] = found.at(from + ".bias").to(at::kFloat);
      const Tensor& direction = found.at(from + layout.writing.direction);
      weights[to + ".weight"] = layout.writing.norm
                                    ? folded(found.at(from + layout.writing.norm), direction)
                                    : direction.to(at::kFloat);
    }
  }
  return weights;
}

Weights random_weights(const Shape& shape, int64_t seed) {
  Draws draws(seed);
  Weights weights;
  for (const auto& part : Parts(shape).take()) {
    const std::string& name = part.transformers;
    if (part.role == Role::alpha) {
      weights[name + ".alpha"] = draws.fill(part.shape, part.low, part.high);
      continue;
    }
    const Tensor direction = draws.fill(part.shape, -1, 1);
    if (part.role == Role::codebook) {
      weights[name + ".weight"] =
          direction.mul(draws.fill({part.shape[0], 1}, part.low, part.high));
      continue;
    }
    const int64_t out = part.shape[part.role == Role::transposed_conv ? 1 : 0];
    weights[name + ".bias"] = draws.fill({out}, -0.1, 0.1);
    weights[name + ".weight"] =
        folded(draws.fill({part.shape[0], 1, 1}, part.low, part.high), direction);
  }
  return weights;
}

}  // namespace gamut::dac
