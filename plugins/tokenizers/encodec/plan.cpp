#include "plan.h"

#include <utility>

namespace gamut::encodec {
namespace {

// Counts modules as the packages do, whose activations are modules too.
class Builder {
 public:
  Builder(const Shape& shape, std::string side) : shape_(shape), side_(std::move(side)) {}

  void conv(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride = 1) {
    add({LayerPlan::conv, {{path(), inputs, outputs, kernel, stride, 1, elu_, false}}, ""});
  }
  void upsample(int64_t inputs, int64_t ratio) {
    add({LayerPlan::conv, {{path(), inputs, inputs / 2, 2 * ratio, ratio, 1, elu_, true}}, ""});
  }
  void residual(int64_t width, int64_t dilation) {
    const int64_t narrow = width / shape_.compress;
    LayerPlan layer{LayerPlan::residual, {}, ""};
    layer.convs.push_back({path() + ".block.1", width, narrow, shape_.residual_kernel_size, 1,
                           dilation, true, false});
    layer.convs.push_back({path() + ".block.3", narrow, width, 1, 1, 1, true, false});
    if (shape_.conv_shortcut) {
      layer.convs.push_back({path() + ".shortcut", width, width, 1, 1, 1, false, false});
    }
    add(std::move(layer));
  }
  void residuals(int64_t width) {
    int64_t dilation = 1;
    for (int64_t i = 0; i < shape_.residual_layers; ++i, dilation *= shape_.dilation_base) {
      residual(width, dilation);
    }
  }
  void lstm() { add({LayerPlan::lstm, {}, path()}); }
  // A module of its own, which goes into the next convolution.
  void elu() {
    ++index_;
    elu_ = true;
  }
  Plan plan() && { return std::move(plan_); }

 private:
  std::string path() const { return side_ + "." + std::to_string(index_); }
  void add(LayerPlan layer) {
    plan_.push_back(std::move(layer));
    ++index_;
    elu_ = false;
  }

  const Shape& shape_;
  std::string side_;
  int64_t index_ = 0;
  bool elu_ = false;
  Plan plan_;
};

template <class Visit>
void for_each_layer(const Shape& shape, const Visit& visit) {
  for (const auto& plan : {encoder_plan(shape), decoder_plan(shape)}) {
    for (const auto& layer : plan) visit(layer);
  }
}

}  // namespace

Plan encoder_plan(const Shape& shape) {
  Builder build(shape, "encoder");
  int64_t width = shape.n_filters;
  build.conv(shape.channels, width, shape.kernel_size);
  for (auto ratio = shape.ratios.rbegin(); ratio != shape.ratios.rend(); ++ratio, width *= 2) {
    build.residuals(width);
    build.elu();
    build.conv(width, 2 * width, 2 * *ratio, *ratio);
  }
  build.lstm();
  build.elu();
  build.conv(width, shape.dimension, shape.last_kernel_size);
  return std::move(build).plan();
}

Plan decoder_plan(const Shape& shape) {
  Builder build(shape, "decoder");
  int64_t width = shape.widest();
  build.conv(shape.dimension, width, shape.kernel_size);
  build.lstm();
  for (int64_t ratio : shape.ratios) {
    build.elu();
    build.upsample(width, ratio);
    width /= 2;
    build.residuals(width);
  }
  build.elu();
  build.conv(width, shape.channels, shape.last_kernel_size);
  return std::move(build).plan();
}

std::vector<ConvPlan> all_convs(const Shape& shape) {
  std::vector<ConvPlan> convs;
  for_each_layer(shape, [&](const LayerPlan& layer) {
    convs.insert(convs.end(), layer.convs.begin(), layer.convs.end());
  });
  return convs;
}

std::vector<std::string> all_lstms(const Shape& shape) {
  std::vector<std::string> paths;
  for_each_layer(shape, [&](const LayerPlan& layer) {
    if (layer.kind == LayerPlan::lstm) paths.push_back(layer.path);
  });
  return paths;
}

}  // namespace gamut::encodec
