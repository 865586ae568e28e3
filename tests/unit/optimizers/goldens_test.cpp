// AdamW and Muon against PyTorch 2.11; tests/data/optimizers/make_goldens.py made the numbers.
#include "support.h"

namespace gamut::test {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

const Tensors& goldens() {
  static const Tensors tensors = [] {
    Tensors map;
    const std::string path = GAMUT_SOURCE_DIR "/tests/data/optimizers/goldens.safetensors";
    for (const auto& t : checkpoint::read_safetensors(path)) map[t.name] = t.tensor;
    return map;
  }();
  return tensors;
}

// Largest error of any parameter, over its largest movement from the start.
double replay(const std::string& plugin, const std::string& golden, const OptionMap& options,
              at::ScalarType dtype = at::kFloat) {
  std::vector<std::string> names = {"wide", "tall", "square", "tall_too"};
  if (plugin == "adamw") names.push_back("bias");
  NamedTensors parameters;
  for (const auto& name : names) {
    const auto start = goldens().at("start/" + name).to(dtype, false, /*copy=*/true);
    parameters.push_back({name, at::Tensor(start).set_requires_grad(true)});
  }
  auto optimizer = make(plugin, {{parameters, {}}}, options);
  for (int step = 0; step < 6; ++step) {
    auto& values = optimizer->groups()[0].options;
    if (step == 3) values.set("lr", values.number("lr") / 2);
    for (auto& p : parameters) {
      const bool skipped = step == 1 && p.name == "wide";
      p.tensor.mutable_grad() =
          skipped ? at::Tensor() : goldens().at(c10::str("grad", step, "/", p.name)).to(dtype);
    }
    optimizer->step();
  }
  double worst = 0;
  for (const auto& p : parameters) {
    const auto after = goldens().at("after/" + golden + "/" + p.name).to(at::kDouble);
    const auto start = goldens().at("start/" + p.name).to(dtype).to(at::kDouble);
    const auto error = (p.tensor.detach().to(at::kDouble) - after).abs().max().item<double>();
    worst = std::max(worst, error / (after - start).abs().max().item<double>());
  }
  return worst;
}

const OptionMap kAdam = {
    {"lr", 0.02}, {"beta1", 0.9}, {"beta2", 0.95}, {"eps", 1e-8}, {"weight_decay", 0.1}};

TEST(AdamW, IsPyTorchs) {
  EXPECT_LE(replay("adamw", "adamw", kAdam), 1e-6);
}

TEST(AdamW, IsPyTorchsInBfloat16) {
  EXPECT_LE(replay("adamw", "adamw_bf16", kAdam, at::kBFloat16), 1e-6);
}

OptionMap muon(double momentum, double decay, const std::string& scale, const std::string& dtype) {
  return {{"lr", 0.02},
          {"momentum", momentum},
          {"weight_decay", decay},
          {"scale", scale},
          {"ns_dtype", dtype}};
}

TEST(Muon, IsItsDefinitionInFloat32) {
  EXPECT_LE(replay("muon", "keller", muon(0.95, 0.1, "original", "float32")), 1e-4);
}

TEST(Muon, IsThePolarExpressDefinitionInFloat32) {
  auto options = muon(0.9, 0.0, "match_rms_adamw", "float32");
  options["coefficients"] = std::string("polar_express");
  options["nesterov"] = false;
  EXPECT_LE(replay("muon", "polar_express", options), 1e-4);
}

// PyTorch iterates in bfloat16 and averages its momentum, so directions agree to bfloat16's digits.
TEST(Muon, IsPyTorchsUpToBfloat16) {
  for (const char* dtype : {"bfloat16", "float32"}) {
    EXPECT_LE(replay("muon", "torch_original", muon(0.95, 0.1, "original", dtype)), 0.05) << dtype;
    EXPECT_LE(replay("muon", "torch_match", muon(0.9, 0.0, "match_rms_adamw", dtype)), 0.05)
        << dtype;
  }
  EXPECT_GT(replay("muon", "torch_original", muon(0.9, 0.0, "match_rms_adamw", "float32")), 0.1)
      << "the measure tells wrong options";
}

}  // namespace
}  // namespace gamut::test
