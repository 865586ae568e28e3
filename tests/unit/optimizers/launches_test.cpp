// How many launches an optimizer step of a small model takes: few, and no more for more tensors.
#include "launches.h"

#include "ops/newton_schulz/newton_schulz.h"
#include "support.h"

namespace gamut::test {
namespace {

// As many tensors as the golf baseline has, of an eighth of their sizes.
NamedTensors matrices(int layers) {
  std::vector<std::vector<int64_t>> shapes;
  for (int layer = 0; layer < layers; ++layer) {
    shapes.insert(shapes.end(), {{64, 64}, {32, 64}, {32, 64}, {64, 64}, {128, 64}, {64, 128}});
  }
  return parameters(shapes);
}

std::string told(const Launches& launches) {
  std::string text;
  for (const auto& [name, count] : launches.by_name) text += c10::str(name, " ", count, "\n");
  return text;
}

int64_t launches_of_step(const std::string& plugin, const NamedTensors& weights,
                         const OptionMap& options, std::string& told_of) {
  auto optimizer = make(plugin, {{weights, {}}}, options);
  set_gradients(weights, 1);
  optimizer->step();
  const Launches launches;
  optimizer->step();
  told_of = told(launches);
  return launches.total();
}

TEST(Launches, OfAMuonStepAroundItsIteration) {
  std::string text;
  const OptionMap options = {
      {"ns_dtype", std::string("float32")}, {"weight_decay", 0.1}, {"ns_steps", int64_t{1}}};
  EXPECT_EQ(launches_of_step("muon", matrices(9), options, text), 9) << text;
  EXPECT_EQ(launches_of_step("muon", matrices(1), options, text), 9) << text;
}

TEST(Launches, OfTheIterationOnADevice) {
  const std::vector<double> abc(15, 0.5);
  const ops::matrix_iteration::Iteration iteration = {abc, 1.0, 1e-7, at::kBFloat16};
  for (const int layers : {1, 9}) {
    std::vector<at::Tensor> list;
    for (const auto& p : matrices(layers)) list.push_back(p.tensor.detach());
    const Launches launches;
    ops::matrix_iteration::composed(list, iteration);
    // Three kinds of shapes; 5 steps of 3 products, two of which copy an addend.
    EXPECT_EQ(launches.total(), 3 * (4 + 5 * 5 + 1) + 1) << told(launches);
    EXPECT_EQ(launches.by_name.at("aten::bmm"), 15);
  }
}

TEST(Launches, OfAnAdamWStep) {
  std::string text;
  std::vector<std::vector<int64_t>> shapes(40, {64});
  EXPECT_EQ(launches_of_step("adamw", parameters(shapes), {}, text), 4) << text;
}

}  // namespace
}  // namespace gamut::test
