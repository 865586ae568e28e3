// See kernel.h. A tile of the result is built in registers a few rows at a time, kept in float32,
// and written in panels, which is all that the next product reads.
#include "ops/newton_schulz/kernel.h"

#include "ops/simd/transpose.h"
#include "ops/simd/vec.h"

namespace gamut::ops::matrix_iteration::GAMUT_ISA {
namespace {

using namespace ops::GAMUT_ISA;

constexpr int kLane = kLanes<float>;
constexpr int kRows = GAMUT_ISA_LEVEL >= 1 ? 8 : 4;  // of a block of registers, kRows x 2 vectors
using Floats = Vec<float>;
using Words = Vec<int32_t>;

struct Tile {
  alignas(64) float at[kTile][kTile];
};

GAMUT_INLINE Words load_words(const uint32_t* p) {
  Words v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
GAMUT_INLINE void store_words(uint32_t* p, Words v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Bfloat16 values, nearest even, one in the lower half of each lane.
GAMUT_INLINE Words halves(const float* p) {
  BFloat16 narrow[kLane];
  store(narrow, load(p));
  return (Words)load(narrow) >> 16;
}

// What differs between the two kinds of words.
struct Pairs {
  static constexpr int kElements = 2;
  GAMUT_INLINE Floats low(Words w) { return (Floats)(w << 16); }
  GAMUT_INLINE Floats high(Words w) { return (Floats)(w & static_cast<int32_t>(0xffff0000)); }
  GAMUT_INLINE Floats add_product(Floats sum, Words a, Words b) {
#if GAMUT_ISA_LEVEL >= 2
    return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    return sum + low(a) * low(b) + high(a) * high(b);
#endif
  }
  // Words j, j + 1, ... of word row k of a tile.
  GAMUT_INLINE Words word(const Tile& t, int k, int j) {
    return (halves(&t.at[2 * k][j]) & 0xffff) | (halves(&t.at[2 * k + 1][j]) << 16);
  }
  // The same k, k + 1, ... of the transposed tile's column j.
  GAMUT_INLINE Words turned(const Tile& t, int k, int j) {
    BFloat16 pairs[2 * kLane];
    store(pairs, load(&t.at[j][2 * k]));
    store(pairs + kLane, load(&t.at[j][2 * k + kLane]));
    return load_words(reinterpret_cast<const uint32_t*>(pairs));
  }
  GAMUT_INLINE void add_to(Tile& t, Words w, int k, int j, float scale) {
    store(&t.at[2 * k][j], load(&t.at[2 * k][j]) + scale * low(w));
    store(&t.at[2 * k + 1][j], load(&t.at[2 * k + 1][j]) + scale * high(w));
  }
};

struct Singles {
  static constexpr int kElements = 1;
  GAMUT_INLINE Floats add_product(Floats sum, Words a, Words b) {
    return sum + (Floats)a * (Floats)b;
  }
  GAMUT_INLINE Words word(const Tile& t, int k, int j) { return (Words)load(&t.at[k][j]); }
  GAMUT_INLINE Words turned(const Tile& t, int k, int j) { return (Words)load(&t.at[j][k]); }
  GAMUT_INLINE void add_to(Tile& t, Words w, int k, int j, float scale) {
    store(&t.at[k][j], load(&t.at[k][j]) + scale * (Floats)w);
  }
};

GAMUT_INLINE uint32_t* panel(const Panels& p, int64_t index) {
  return p.words + index * p.rows * kTile;
}

// Word rows of tile row i, in panel j.
template <class Kind>
GAMUT_INLINE uint32_t* tile_words(const Panels& p, int64_t i, int64_t j) {
  return panel(p, j) + i * (kTile / Kind::kElements) * kTile;
}

// Rows [row, row + kRows) and columns [column, column + 2 vectors) of the product of two panels.
template <class Kind>
GAMUT_INLINE void multiply_block(const uint32_t* left, const uint32_t* right, int64_t depth,
                                 int row, int column, float scale, Tile& tile) {
  Floats sum[kRows][2] = {};
  const uint32_t* a = left + row;
  const uint32_t* b = right + column;
  for (int64_t k = 0; k < depth; ++k, a += kTile, b += kTile) {
    const Words b0 = load_words(b), b1 = load_words(b + kLane);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Words w = splat(static_cast<int32_t>(a[i]));
      sum[i][0] = Kind::add_product(sum[i][0], w, b0);
      sum[i][1] = Kind::add_product(sum[i][1], w, b1);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    store(&tile.at[row + i][column], scale * sum[i][0]);
    store(&tile.at[row + i][column + kLane], scale * sum[i][1]);
  }
}

template <class Kind>
void add_tile(Tile& tile, const uint32_t* words, float scale) {
  for (int k = 0; k < kTile / Kind::kElements; ++k) {
    for (int j = 0; j < kTile; j += kLane) {
      Kind::add_to(tile, load_words(words + k * kTile + j), k, j, scale);
    }
  }
}

template <class Kind>
void write_tile(const Tile& tile, uint32_t* words) {
  for (int k = 0; k < kTile / Kind::kElements; ++k) {
    for (int j = 0; j < kTile; j += kLane)
      store_words(words + k * kTile + j, Kind::word(tile, k, j));
  }
}

template <class Kind>
void write_transposed(const Tile& tile, uint32_t* words) {
  for (int k = 0; k < kTile / Kind::kElements; k += kLane) {
    for (int j = 0; j < kTile; j += kLane) {
      Words block[kLane];
#pragma GCC unroll 16
      for (int i = 0; i < kLane; ++i) block[i] = Kind::turned(tile, k, j + i);
      transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kLane; ++i) store_words(words + (k + i) * kTile + j, block[i]);
    }
  }
}

template <class Kind>
void write_both(const Tile& tile, const Panels& out, const Panels& mirror, int64_t i, int64_t j) {
  write_tile<Kind>(tile, tile_words<Kind>(out, i, j));
  if (mirror.words) write_transposed<Kind>(tile, tile_words<Kind>(mirror, j, i));
}

template <class Kind>
void multiply_tile(const ProductArguments& p, int64_t i, int64_t j) {
  const uint32_t *left = panel(p.left, i), *right = panel(p.right, j);
  Tile tile;
  for (int row = 0; row < kTile; row += kRows) {
    for (int column = 0; column < kTile; column += 2 * kLane) {
      multiply_block<Kind>(left, right, p.left.rows, row, column, p.scale, tile);
    }
  }
  if (p.addend.words) add_tile<Kind>(tile, tile_words<Kind>(p.addend, i, j), p.addend_scale);
  const bool diagonal = p.symmetric && i == j;
  write_both<Kind>(tile, p.out, diagonal ? Panels{} : p.mirror, i, j);
}

template <class Kind>
void multiply_tiles(const ProductArguments& p) {
  for (int64_t j = p.j_begin; j < p.j_end; ++j) {
    for (int64_t i = p.i_begin; i < p.i_end; ++i) {
      if (!p.symmetric || j <= i) multiply_tile<Kind>(p, i, j);
    }
  }
}

// The part of a tile that lies inside a matrix of `columns` columns; what is outside becomes zero.
template <class T>
void read_tile(const T* from, int64_t rows, int64_t columns, int64_t stride, float scale,
               Tile& tile) {
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kTile; j += kLane) {
      const int64_t left = i < rows ? columns - j : 0;
      Floats v = {};
      if (left >= kLane) {
        v = load(from + i * stride + j);
      } else if (left > 0) {
        v = load_first(from + i * stride + j, static_cast<int>(left));
      }
      store(&tile.at[i][j], scale * v);
    }
  }
}

template <class Kind, class T>
void pack_rows(const PackArguments& p, const T* from) {
  for (int64_t i = p.i_begin; i < p.i_end; ++i) {
    for (int64_t j = 0; j * kTile < p.columns; ++j) {
      Tile tile;
      read_tile(from + i * kTile * p.columns + j * kTile, p.rows - i * kTile, p.columns - j * kTile,
                p.columns, p.scale, tile);
      write_both<Kind>(tile, p.out, p.mirror, i, j);
    }
  }
}

template <class T>
void write_rows(const Tile& tile, T* to, int64_t rows, int64_t columns, int64_t stride) {
  for (int64_t i = 0; i < kTile && i < rows; ++i) {
    for (int64_t j = 0; j < kTile && j < columns; j += kLane) {
      const Floats v = load(&tile.at[i][j]);
      if (columns - j >= kLane) {
        store(to + i * stride + j, v);
      } else {
        store_first(to + i * stride + j, v, static_cast<int>(columns - j));
      }
    }
  }
}

template <class Kind, class T>
void unpack_rows(const UnpackArguments& p, T* to) {
  for (int64_t i = p.i_begin; i < p.i_end; ++i) {
    for (int64_t j = 0; j * kTile < p.columns; ++j) {
      Tile tile = {};
      add_tile<Kind>(tile, tile_words<Kind>(p.from, i, j), 1);
      write_rows(tile, to + i * kTile * p.columns + j * kTile, p.rows - i * kTile,
                 p.columns - j * kTile, p.columns);
    }
  }
}

template <class T>
double squares(const T* from, int64_t size) {
  Floats sums = {};
  int64_t i = 0;
  for (; i + kLane <= size; i += kLane) sums += load(from + i) * load(from + i);
  const Floats rest = load_first(from + i, static_cast<int>(size - i));
  return static_cast<double>(sum(sums + rest * rest));
}

}  // namespace

void multiply(const ProductArguments& p) {
  p.bfloat16 ? multiply_tiles<Pairs>(p) : multiply_tiles<Singles>(p);
}

void pack(const PackArguments& p) {
  if (p.from_float) {
    p.bfloat16 ? pack_rows<Pairs>(p, p.from_float) : pack_rows<Singles>(p, p.from_float);
  } else {
    const auto* from = reinterpret_cast<const BFloat16*>(p.from_bfloat16);
    p.bfloat16 ? pack_rows<Pairs>(p, from) : pack_rows<Singles>(p, from);
  }
}

void unpack(const UnpackArguments& p) {
  if (p.to_float) {
    p.bfloat16 ? unpack_rows<Pairs>(p, p.to_float) : unpack_rows<Singles>(p, p.to_float);
  } else {
    auto* to = reinterpret_cast<BFloat16*>(p.to_bfloat16);
    p.bfloat16 ? unpack_rows<Pairs>(p, to) : unpack_rows<Singles>(p, to);
  }
}

void sum_squares(const SquaresArguments& p) {
  *p.sum = p.from_float ? squares(p.from_float, p.size)
                        : squares(reinterpret_cast<const BFloat16*>(p.from_bfloat16), p.size);
}

}  // namespace gamut::ops::matrix_iteration::GAMUT_ISA
