// Short causal convolution. On a CPU it is a loop of its own: LibTorch's depthwise conv1d is many
// times slower there, and shifted multiply-adds over whole tensors read memory once a tap.
#include "short_conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "clones.h"

namespace gamut::gdn {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

constexpr int64_t kBlock = 64;  // steps a task

// y += w * x over n channels.
#define GAMUT_ROW_LOOPS(scalar_t)                                                             \
  GAMUT_CPU_CLONES void add_product(scalar_t* __restrict y, const scalar_t* __restrict w,     \
                                    const scalar_t* __restrict x, int64_t n) {                \
    for (int64_t c = 0; c < n; ++c) y[c] += w[c] * x[c];                                      \
  }                                                                                           \
  GAMUT_CPU_CLONES void four_taps(scalar_t* __restrict y, const scalar_t* __restrict w,       \
                                  const scalar_t* __restrict a, const scalar_t* __restrict b, \
                                  const scalar_t* __restrict d, const scalar_t* __restrict e, \
                                  int64_t n) {                                                \
    for (int64_t c = 0; c < n; ++c) {                                                         \
      y[c] = w[c] * a[c] + w[n + c] * b[c] + w[2 * n + c] * d[c] + w[3 * n + c] * e[c];       \
    }                                                                                         \
  }
GAMUT_ROW_LOOPS(float)
GAMUT_ROW_LOOPS(double)
#undef GAMUT_ROW_LOOPS

// Where the steps of a call lie: for each flattened step the start of its document, and where the
// context of a row begins.
struct Layout {
  int64_t batch, time, channels, width;
  std::vector<int64_t> start;

  Layout(const Documents& documents, int64_t channels, int64_t width)
      : batch(documents.batch()),
        time(documents.time()),
        channels(channels),
        width(width),
        start(batch * time) {
    for (int64_t i = 0; i < documents.size(); ++i) {
      std::fill(start.begin() + documents.begin(i), start.begin() + documents.end(i),
                documents.begin(i));
    }
  }
  // Offset of step t - back into the context, in elements, or -1 when it is before its document.
  int64_t in_context(int64_t t, int64_t back) const {
    const int64_t row = t / time, before = t - back - row * time;  // -1, -2, ... from the row start
    if (start[t] != row * time) return -1;
    return (row * (width - 1) + (width - 1) + before) * channels;
  }
};

template <class scalar_t>
void conv_rows(const Layout& at, const scalar_t* x, const scalar_t* taps, const scalar_t* context,
               scalar_t* y, int64_t begin, int64_t end) {
  const int64_t n = at.channels, w = at.width;
  for (int64_t t = begin; t < end; ++t) {
    scalar_t* out = y + t * n;
    if (w == 4 && t - at.start[t] >= 3) {
      four_taps(out, taps, x + (t - 3) * n, x + (t - 2) * n, x + (t - 1) * n, x + t * n, n);
      continue;
    }
    std::fill(out, out + n, scalar_t(0));
    for (int64_t j = 0; j < w; ++j) {
      const int64_t back = w - 1 - j;
      if (t - back >= at.start[t]) {
        add_product(out, taps + j * n, x + (t - back) * n, n);
      } else if (const int64_t i = context ? at.in_context(t, back) : -1; i >= 0) {
        add_product(out, taps + j * n, context + i, n);
      }
    }
  }
}

// Gradient of x over steps [begin, end): the taps run forward in time.
template <class scalar_t>
void input_gradient_rows(const Layout& at, const scalar_t* dy, const scalar_t* taps, scalar_t* dx,
                         int64_t begin, int64_t end) {
  const int64_t n = at.channels, w = at.width, steps = at.batch * at.time;
  for (int64_t t = begin; t < end; ++t) {
    scalar_t* out = dx + t * n;
    // Every later step that reads t is in its document.
    const auto same = [&](int64_t s) {
      return s < steps && at.start[s] <= t && s / at.time == t / at.time;
    };
    if (w == 4 && same(t + 3)) {
      four_taps(out, taps, dy + (t + 3) * n, dy + (t + 2) * n, dy + (t + 1) * n, dy + t * n, n);
      continue;
    }
    std::fill(out, out + n, scalar_t(0));
    for (int64_t j = 0; j < w; ++j) {
      const int64_t s = t + w - 1 - j;
      if (same(s)) add_product(out, taps + j * n, dy + s * n, n);
    }
  }
}

// Adds the gradient of the taps from steps [begin, end) to d_taps [width, channels].
template <class scalar_t>
void tap_gradient_rows(const Layout& at, const scalar_t* x, const scalar_t* dy,
                       const scalar_t* context, scalar_t* d_taps, int64_t begin, int64_t end) {
  const int64_t n = at.channels, w = at.width;
  for (int64_t t = begin; t < end; ++t) {
    for (int64_t j = 0; j < w; ++j) {
      const int64_t back = w - 1 - j;
      if (t - back >= at.start[t]) {
        add_product(d_taps + j * n, dy + t * n, x + (t - back) * n, n);
      } else if (const int64_t i = context ? at.in_context(t, back) : -1; i >= 0) {
        add_product(d_taps + j * n, dy + t * n, context + i, n);
      }
    }
  }
}

template <class scalar_t>
void context_gradient(const Layout& at, const scalar_t* dy, const scalar_t* taps, scalar_t* dc) {
  const int64_t n = at.channels, w = at.width;
  for (int64_t row = 0; row < at.batch; ++row) {
    for (int64_t t = row * at.time; t < row * at.time + std::min(at.time, w - 1); ++t) {
      for (int64_t j = 0; j < w - 1 - (t - row * at.time); ++j) {
        const int64_t i = at.in_context(t, w - 1 - j);
        if (i >= 0) add_product(dc + i, taps + j * n, dy + t * n, n);
      }
    }
  }
}

template <class scalar_t>
const scalar_t* data(const Tensor& x) {
  return x.defined() ? x.const_data_ptr<scalar_t>() : nullptr;
}

// [channels, 1, width] -> [width, channels], so that loops run over channels.
Tensor taps_of(const Tensor& weight) {
  return weight.squeeze(1).t().contiguous();
}

struct CpuShortConv : torch::autograd::Function<CpuShortConv> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& context, const Documents& documents) {
    const Layout layout(documents, x.size(2), weight.size(2));
    const auto input = x.contiguous(), taps = taps_of(weight);
    const auto before = context ? context->contiguous() : Tensor();
    auto y = at::empty_like(input);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "short_conv", [&] {
      at::parallel_for(0, x.size(0) * x.size(1), kBlock, [&](int64_t begin, int64_t end) {
        conv_rows(layout, data<scalar_t>(input), data<scalar_t>(taps), data<scalar_t>(before),
                  y.mutable_data_ptr<scalar_t>(), begin, end);
      });
    });
    ctx->save_for_backward({input, weight, before});
    ctx->saved_data["offsets"] = documents.offsets();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    GAMUT_CHECK(!at::GradMode::is_enabled(),
                "the short convolution has no second derivative; "
                "call backward without create_graph");
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &context = saved[2];
    const auto offsets = at::tensor(ctx->saved_data["offsets"].toIntVector(), at::kLong);
    const Layout layout(Documents(offsets, x.size(0), x.size(1)), x.size(2), weight.size(2));
    const auto dy = grads[0].contiguous(), taps = taps_of(weight);
    const int64_t steps = x.size(0) * x.size(1), blocks = (steps + kBlock - 1) / kBlock;
    auto dx = at::empty_like(x);
    // Blocks of a fixed size, added in order: the sum does not depend on the number of threads.
    auto partial = at::zeros({blocks, weight.size(2), x.size(2)}, x.options());
    auto dc = context.defined() ? at::zeros_like(context) : Tensor();
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "short_conv_backward", [&] {
      const auto* d = data<scalar_t>(dy);
      at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
        for (int64_t block = first; block < last; ++block) {
          const int64_t begin = block * kBlock, end = std::min(steps, begin + kBlock);
          input_gradient_rows(layout, d, data<scalar_t>(taps), dx.mutable_data_ptr<scalar_t>(),
                              begin, end);
          tap_gradient_rows(layout, data<scalar_t>(x), d, data<scalar_t>(context),
                            partial.mutable_data_ptr<scalar_t>() + block * taps.numel(), begin,
                            end);
        }
      });
      if (dc.defined()) {
        context_gradient(layout, d, data<scalar_t>(taps), dc.mutable_data_ptr<scalar_t>());
      }
    });
    return {dx, partial.sum(0).t().unsqueeze(1), dc, {}};
  }
};

}  // namespace

Tensor short_conv(const Tensor& x, const Tensor& weight, const Tensor& context,
                  const Documents& documents) {
  if (!x.device().is_cpu()) return short_conv_composite(x, weight, context, documents);
  const auto before = context.defined() ? std::optional<Tensor>(context) : std::nullopt;
  return CpuShortConv::apply(x, weight, before, documents);
}

Tensor short_conv_composite(const Tensor& x, const Tensor& weight, const Tensor& context,
                            const Documents& documents) {
  const int64_t w = weight.size(2), time = x.size(1);
  const auto before =
      context.defined() ? context : at::zeros({x.size(0), w - 1, x.size(2)}, x.options());
  const auto extended = at::cat({before, x}, 1);
  Tensor position, y;
  if (documents.packed()) {
    position = documents.position_in_document();
    const auto first = position == at::arange(time, at::kLong);  // of the row: it sees the context
    position = (position + first * w).to(x.device()).unsqueeze(-1);
  }
  for (int64_t j = 0; j < w; ++j) {
    auto term = extended.narrow(1, j, time) * weight.select(2, j).squeeze(-1);
    if (position.defined()) term = term * (position >= w - 1 - j);
    y = y.defined() ? y + term : term;
  }
  return y;
}

Tensor next_conv_context(const Tensor& x, const Tensor& context, const Documents& documents) {
  const int64_t keep = context.size(1), time = x.size(1);
  auto next = time >= keep ? x.narrow(1, time - keep, keep)
                           : at::cat({context.narrow(1, time, keep - time), x}, 1);
  if (!documents.packed()) return next.clone();
  auto mask = at::ones({x.size(0), keep, 1}, at::kFloat);
  for (int64_t i = 0; i < documents.size(); ++i) {
    if (!documents.is_last(i) || documents.is_first(i)) continue;
    const int64_t length = documents.end(i) - documents.begin(i);
    if (length < keep) mask.select(0, documents.row(i)).narrow(0, 0, keep - length).zero_();
  }
  return next * mask.to(x.options());
}

}  // namespace gamut::gdn
