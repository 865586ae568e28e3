// Tiles of the products that a Newton-Schulz iteration consists of.
//
// A matrix [depth, width] is kept in panels of kTile columns: element (k, j) is in panel j / kTile,
// row k. With bfloat16 two rows share one 32-bit word, (k, k + 1) in its low and high half, as the
// processor's products of pairs take them; float32 has a word each. Both sides are padded with
// zeros to multiples of kTile, which products keep zero.
#pragma once

#include <stdint.h>

#include "ops/simd/isa.h"

namespace gamut::ops::matrix_iteration {

constexpr int kTile = 32;

// A matrix in panels; `rows` counts its words a column: depth, or half of it with bfloat16.
struct Panels {
  uint32_t* words;
  int64_t rows;
};

// Tile (i, j) of  scale L^T R + addend_scale C  for one i in [i_begin, i_end) and j in
// [j_begin, j_end): L and R have the same depth; C, where given, is a matrix like `out`.
// The tile goes to `out` and, transposed, to `mirror` where that is given.
struct ProductArguments {
  bool bfloat16;
  Panels left, right, addend, out, mirror;
  float scale, addend_scale;
  int64_t i_begin, i_end, j_begin, j_end;
  // The result is symmetric and `mirror` the same matrix as `out`: tiles above the diagonal are
  // left to their mirror images.
  bool symmetric;
};

// Rows [kTile i, kTile (i + 1)) of `matrix` [rows, columns] times `scale`, to `out` and,
// transposed, to `mirror`; i in [i_begin, i_end). Exactly one of the two types of input is given.
struct PackArguments {
  bool bfloat16;
  const float* from_float;
  const uint16_t* from_bfloat16;
  int64_t rows, columns;
  float scale;
  Panels out, mirror;
  int64_t i_begin, i_end;
};

// The way back; exactly one of the two types of output is given.
struct UnpackArguments {
  bool bfloat16;
  Panels from;
  float* to_float;
  uint16_t* to_bfloat16;
  int64_t rows, columns;
  int64_t i_begin, i_end;
};

// *sum = sum of the squares of a stretch of a matrix.
struct SquaresArguments {
  const float* from_float;
  const uint16_t* from_bfloat16;
  int64_t size;
  double* sum;
};

GAMUT_ISA_KERNEL(multiply, ProductArguments)
GAMUT_ISA_KERNEL(pack, PackArguments)
GAMUT_ISA_KERNEL(unpack, UnpackArguments)
GAMUT_ISA_KERNEL(sum_squares, SquaresArguments)

}  // namespace gamut::ops::matrix_iteration
