// gamut::newton_schulz: checks its arguments and chooses the form that computes it.
#include "ops/newton_schulz/newton_schulz.h"

#include <ATen/ATen.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <gamut/error.h>

#include "ops/simd/isa.h"

namespace gamut::ops {
namespace {

bool cpu_has(const char* capability) {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find(capability);
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

// LibTorch's products use the matrix units, which are several times faster than the kernel.
bool has_matrix_units() {
  static const bool answer = cpu_has("amx_bf16");
  return answer;
}

at::ScalarType fastest(at::Device device) {
  if (device.is_cuda()) return at::kBFloat16;
  if (!device.is_cpu()) return at::kFloat;
  return has_matrix_units() || isa() == Isa::avx512_bf16 ? at::kBFloat16 : at::kFloat;
}

void check(at::TensorList matrices, at::ArrayRef<double> coefficients, at::ScalarType dtype) {
  GAMUT_CHECK(
      !coefficients.empty() && coefficients.size() % 3 == 0,
      "newton_schulz: coefficients must be a, b, c of each step, three numbers a step; there "
      "are ",
      coefficients.size());
  GAMUT_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble,
              "newton_schulz: dtype must be float32, bfloat16 or float64, not ", dtype);
  for (size_t i = 0; i < matrices.size(); ++i) {
    const at::Tensor& matrix = matrices[i];
    GAMUT_CHECK(matrix.dim() == 2 && matrix.is_floating_point(), "newton_schulz: entry ", i,
                " of the list must be a floating-point matrix; it is ", matrix.scalar_type(), " ",
                matrix.sizes());
    GAMUT_CHECK(matrix.device() == matrices[0].device(), "newton_schulz: entry ", i, " is on ",
                matrix.device(), " and entry 0 on ", matrices[0].device(),
                "; all must be on one device");
  }
}

}  // namespace

std::vector<at::Tensor> newton_schulz(at::TensorList matrices, at::ArrayRef<double> coefficients,
                                      double safety, double eps,
                                      std::optional<at::ScalarType> dtype) {
  if (matrices.empty()) return {};
  const at::Device device = matrices[0].device();
  const at::ScalarType chosen = dtype.value_or(fastest(device));
  check(matrices, coefficients, chosen);
  const c10::NoGradGuard no_grad;
  // Autocast would put the products into another dtype than was asked for.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const matrix_iteration::Iteration iteration = {coefficients, safety, eps, chosen};
  const bool by_libtorch =
      !device.is_cpu() || chosen == at::kDouble || (chosen == at::kBFloat16 && has_matrix_units());
  return by_libtorch ? matrix_iteration::composed(matrices, iteration)
                     : matrix_iteration::fused(matrices, iteration);
}

}  // namespace gamut::ops
