// Layers whose operators have CUDA kernels, emulated: with them, a layer's outputs and gradients
// are what they are on the CPU.
#include <c10/core/GradMode.h>
#include <gamut/module.h>

#include <memory>

#include "ops/ops.h"
#include "plugin_host/registry.h"
#include "support.h"

namespace gamut {
namespace {

using at::Tensor;

host::Registry& registry() {
  static const bool configured = [] {
    ops::link_operators();
    host::SearchPath path;
    path.entries = {GAMUT_BUILD_DIR "/lib/gamut/plugins"};
    host::configure(path);
    return true;
  }();
  EXPECT_TRUE(configured);
  return host::registry();
}

struct Layer {
  const char* name;
  OptionMap options;
};

std::vector<Layer> layers() {
  const OptionMap gdn = {{"n_heads", int64_t{2}}, {"head_dim", int64_t{6}}};
  OptionMap cached = {{"mixer", std::string("gdn")}, {"segment_size", int64_t{16}}};
  cached["mixer_options"] = OptionValue(std::make_shared<const OptionMap>(gdn));
  return {{"gdn", gdn},
          {"mamba", {{"version", int64_t{2}}, {"d_state", int64_t{16}}, {"head_dim", int64_t{8}}}},
          {"memory_cache", cached}};
}

// The output, and gradients of x and of every parameter.
test::Evaluated evaluate(Mixer& mixer, const Tensor& x, const Tensor& cu_seqlens,
                         const Tensor& cotangent) {
  MixerContext context;
  context.cu_seqlens = cu_seqlens;
  const auto leaf = x.detach().clone().set_requires_grad(true);
  for (const auto& p : mixer.parameters()) p.tensor.mutable_grad() = Tensor();
  test::Evaluated result;
  result.outputs = {mixer.forward(leaf, context)};
  (result.outputs[0] * cotangent).sum().backward();
  result.gradients = {leaf.grad()};
  for (const auto& p : mixer.parameters()) result.gradients.push_back(p.tensor.grad());
  return result;
}

TEST(MixersOnDevice, EqualThoseOnTheCpu) {
  for (auto& layer : layers()) {
    SCOPED_TRACE(layer.name);
    at::manual_seed(1);
    layer.options["d_model"] = int64_t{16};
    const auto mixer = registry().create_mixer(layer.name, layer.options);
    {
      const c10::NoGradGuard no_grad;
      for (const auto& p : mixer->parameters()) p.tensor.add_(0.3 * at::randn(p.tensor.sizes()));
    }
    const auto x = at::randn({1, 40, 16}), cotangent = at::randn({1, 40, 16});
    for (const auto& cu_seqlens : {Tensor(), test::offsets({0, 13, 40})}) {
      const auto expected = evaluate(*mixer, x, cu_seqlens, cotangent);
      const test::EmulatedDevice device;
      const auto got = evaluate(*mixer, x, cu_seqlens, cotangent);
      EXPECT_TRUE(device.was_used());
      EXPECT_CLOSE(got.outputs[0], expected.outputs[0], 2e-5);
      for (size_t i = 0; i < got.gradients.size(); ++i) {
        ASSERT_EQ(got.gradients[i].defined(), expected.gradients[i].defined()) << i;
        if (!got.gradients[i].defined()) continue;
        EXPECT_CLOSE(got.gradients[i], expected.gradients[i], 2e-4) << "gradient " << i;
      }
    }
  }
}

}  // namespace
}  // namespace gamut
