#include "cuda/emulation/matrix.h"

#include <string>

#include "cuda/emulation/running.h"

namespace gamut::cuda {
namespace emulation {
namespace {

// What a lane brings to ldmatrix: where its registers are, and the row whose address it gave.
struct Load {
  uint32_t* r;
  uint16_t row[8];
};

template <int kMatrices, bool kTransposed>
void complete_load(void* const (&operands)[kLanes]) {
  const auto load = [&](int lane) { return static_cast<Load*>(operands[lane]); };
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int matrix = 0; matrix < kMatrices; ++matrix) {
      uint32_t pair[2];
      for (int i = 0; i < 2; ++i) {
        const int row = kTransposed ? lane % 4 * 2 + i : lane / 4;
        const int column = kTransposed ? lane / 4 : lane % 4 * 2 + i;
        pair[i] = load(matrix * 8 + row)->row[column];
      }
      load(lane)->r[matrix] = pair[0] | pair[1] << 16;
    }
  }
}

template <int kMatrices, bool kTransposed>
void load_matrices(const char* name, uint32_t* r, const void* row, const Site& site,
                   const void* code) {
  Load load{r, {}};
  if (self->thread_index.x % kLanes < kMatrices * 8) {
    if (reinterpret_cast<uintptr_t>(row) % sizeof(load.row) != 0) {
      fail(site, "%s from %p, which is not a multiple of 16", name, row);
    }
    const std::string why = running().shared.misplaced(row, sizeof(load.row));
    if (!why.empty()) fail(site, "the row of %s %s", name, why.c_str());
    running().touch(Touch::read, row, sizeof(load.row), code);
    std::memcpy(load.row, row, sizeof(load.row));
  }
  converge(name, &complete_load<kMatrices, kTransposed>, &load, site);
}

// What a lane brings to a product: its parts of d [16, 8], a [16, depth] and b [depth, 8].
struct Product {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

constexpr int kRows = 16, kColumns = 8;
using Row = float __attribute__((vector_size(kColumns * sizeof(float))));

float of_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

// 16 bits as numbers of a kind.
struct Bfloat16 {
  static float number(uint32_t bits) { return of_bits(bits << 16); }
};
struct Float16 {
  static float number(uint32_t bits) {
    constexpr uint32_t kScale = 0x77800000;  // 2^112, the distance of the exponents
    const uint32_t exponent = bits & 0x7c00;
    const float magnitude = exponent == 0x7c00 ? of_bits(0x7f800000 | (bits & 0x3ff) << 13)
                                               : of_bits((bits & 0x7fff) << 13) * of_bits(kScale);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
  }
};

// A product as whole matrices.
struct Matrices {
  float a[kRows][16];
  Row b[16];
  Row d[kRows];
};

// d += a b, one number of depth after the other, in float32 as the instructions do.
__attribute__((target_clones("arch=haswell", "default"))) void multiply(Matrices& x, int depth) {
  constexpr int kAtOnce = 4;
  for (int row = 0; row < kRows; row += kAtOnce) {
    Row sums[kAtOnce];
    for (int i = 0; i < kAtOnce; ++i) sums[i] = x.d[row + i];
    for (int k = 0; k < depth; ++k) {
      for (int i = 0; i < kAtOnce; ++i) sums[i] += x.a[row + i][k] * x.b[k];
    }
    for (int i = 0; i < kAtOnce; ++i) x.d[row + i] = sums[i];
  }
}

// Registers of 16-bit numbers: of a, number i is (g + 8 (i % 2), 2 t + 8 (i / 2)) and the next in
// the row; of b (2 t + 8 i, g) and the next in the column, where g = lane / 4, t = lane % 4.
template <class Number>
void gather(Matrices& x, int lane, const Product& part) {
  const int group = lane / 4, pair = lane % 4 * 2;
  for (int i = 0; i < 4; ++i) {
    float* a = &x.a[group + i % 2 * 8][pair + i / 2 * 8];
    a[0] = Number::number(part.a[i] & 0xffff);
    a[1] = Number::number(part.a[i] >> 16);
  }
  for (int i = 0; i < 2; ++i) {
    x.b[pair + i * 8][group] = Number::number(part.b[i] & 0xffff);
    x.b[pair + i * 8 + 1][group] = Number::number(part.b[i] >> 16);
  }
}

// Registers of tf32: of a, number i is (g + 8 (i % 2), t + 4 (i / 2)), of b (t + 4 i, g). The
// instruction does not look at the last 13 bits.
struct Tf32 {
  static float number(uint32_t bits) { return of_bits(bits & 0xffffe000); }
};
template <>
void gather<Tf32>(Matrices& x, int lane, const Product& part) {
  const int group = lane / 4, column = lane % 4;
  for (int i = 0; i < 4; ++i) {
    x.a[group + i % 2 * 8][column + i / 2 * 4] = Tf32::number(part.a[i]);
  }
  for (int i = 0; i < 2; ++i) x.b[column + i * 4][group] = Tf32::number(part.b[i]);
}

// Of d, number i is (g + 8 (i / 2), 2 t + i % 2).
float& element(Matrices& x, int lane, int i) {
  return reinterpret_cast<float*>(&x.d[lane / 4 + i / 2 * 8])[lane % 4 * 2 + i % 2];
}

template <class Number, int kDepth>
void complete_product(void* const (&operands)[kLanes]) {
  Matrices x;
  const auto part = [&](int lane) { return static_cast<const Product*>(operands[lane]); };
  for (int lane = 0; lane < kLanes; ++lane) {
    gather<Number>(x, lane, *part(lane));
    for (int i = 0; i < 4; ++i) element(x, lane, i) = part(lane)->d[i];
  }
  multiply(x, kDepth);
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 4; ++i) part(lane)->d[i] = element(x, lane, i);
  }
  ++running().work.matrix_products;
}

template <class Number, int kDepth>
void product(const char* name, const Product& part, const Site& site) {
  Product mine = part;
  converge(name, &complete_product<Number, kDepth>, &mine, site);
}

}  // namespace
}  // namespace emulation

void ldmatrix_x4(uint32_t (&r)[4], const void* row, const Site& site) {
  emulation::load_matrices<4, false>("ldmatrix_x4", r, row, site, __builtin_return_address(0));
}
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, const Site& site) {
  emulation::load_matrices<4, true>("ldmatrix_x4_trans", r, row, site, __builtin_return_address(0));
}
void ldmatrix_x2(uint32_t (&r)[2], const void* row, const Site& site) {
  emulation::load_matrices<2, false>("ldmatrix_x2", r, row, site, __builtin_return_address(0));
}
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, const Site& site) {
  emulation::load_matrices<2, true>("ldmatrix_x2_trans", r, row, site, __builtin_return_address(0));
}

void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site) {
  emulation::product<emulation::Bfloat16, 16>("mma_bf16", {d, a, b}, site);
}
void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site) {
  emulation::product<emulation::Float16, 16>("mma_f16", {d, a, b}, site);
}
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Site& site) {
  emulation::product<emulation::Tf32, 8>("mma_tf32", {d, a, b}, site);
}

}  // namespace gamut::cuda
