// The layouts of an LSTM's weights, and the recurrence by its definition: what tests compare with,
// and the way of other devices and types.
#include <ATen/ATen.h>
#include <gamut/error.h>

#include "ops/conv1d/conv1d.h"
#include "ops/lstm/kernel.h"
#include "ops/lstm/lstm.h"

namespace gamut::ops {

using at::Tensor;

namespace {

// [4 H, ...] with rows of gates as [blocks, 4, 16, ...].
Tensor by_blocks(const Tensor& gates) {
  const int64_t hidden = gates.size(0) / 4, blocks = (hidden + kLstmBlock - 1) / kLstmBlock;
  const auto rows = gates.detach().reshape({4, hidden, -1});
  return at::constant_pad_nd(rows, {0, 0, 0, blocks * kLstmBlock - hidden})
      .view({4, blocks, kLstmBlock, -1})
      .transpose(0, 1)
      .contiguous();
}

}  // namespace

std::vector<Tensor> lstm_pack(const Tensor& weight_ih, const Tensor& weight_hh,
                              const std::optional<Tensor>& bias_ih,
                              const std::optional<Tensor>& bias_hh) {
  GAMUT_CHECK(
      weight_hh.dim() == 2 && weight_hh.size(1) > 0 && weight_hh.size(0) == 4 * weight_hh.size(1),
      "lstm_pack: weight_hh must be [4 H, H], not ", weight_hh.sizes());
  const int64_t gates = weight_hh.size(0);
  GAMUT_CHECK(weight_ih.dim() == 2 && weight_ih.size(0) == gates && weight_ih.size(1) > 0,
              "lstm_pack: weight_ih must be [", gates, ", inputs] as weight_hh is ",
              weight_hh.sizes(), "; it is ", weight_ih.sizes());
  Tensor bias = at::zeros({gates}, weight_ih.options());
  for (const auto* b : {&bias_ih, &bias_hh}) {
    if (!*b) continue;
    GAMUT_CHECK((*b)->dim() == 1 && (*b)->size(0) == gates, "lstm_pack: a bias must be [", gates,
                "]; one is ", (*b)->sizes());
    bias = bias + (*b)->detach();
  }
  return {conv1d_pack(by_blocks(weight_ih).flatten(0, 2).unsqueeze(2)), by_blocks(bias).flatten(),
          by_blocks(weight_hh).permute({0, 3, 1, 2}).contiguous()};
}

std::tuple<Tensor, Tensor, Tensor> lstm_reference(const Tensor& x, at::TensorList packed,
                                                  const std::optional<Tensor>& h,
                                                  const std::optional<Tensor>& c) {
  Tensor y = x;
  std::vector<Tensor> last_h, last_c;
  for (size_t i = 0; i + 2 < packed.size(); i += 3) {
    const auto& recurrent = packed[i + 2];
    const int64_t hidden = recurrent.size(1), layer = static_cast<int64_t>(i) / 3;
    const auto gates = [&](const Tensor& blocks) {  // [B, blocks * 64] as four of [B, H]
      return blocks.view({-1, recurrent.size(0), 4, kLstmBlock})
          .transpose(1, 2)
          .flatten(2)
          .narrow(2, 0, hidden)
          .unbind(1);
    };
    const auto zero = at::zeros({x.size(0), hidden}, x.options());
    Tensor ht = h ? h->select(0, layer) : zero, ct = c ? c->select(0, layer) : zero;
    const auto products = conv1d_reference(y, packed[i], packed[i + 1], packed[i + 1].size(0), 1, 1,
                                           0, 0, {}, {}, {}, false);
    const auto weight = recurrent.transpose(0, 1).flatten(1);  // [H, blocks * 64]
    std::vector<Tensor> steps;
    for (int64_t t = 0; t < x.size(1); ++t) {
      const auto g = gates(products.select(1, t) + ht.matmul(weight));
      ct = g[1].sigmoid() * ct + g[0].sigmoid() * g[2].tanh();
      ht = g[3].sigmoid() * ct.tanh();
      steps.push_back(ht);
    }
    y = steps.empty() ? zero.unsqueeze(1).narrow(1, 0, 0) : at::stack(steps, 1);
    last_h.push_back(ht);
    last_c.push_back(ct);
  }
  return {y, at::stack(last_h), at::stack(last_c)};
}

}  // namespace gamut::ops
