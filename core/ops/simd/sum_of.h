// The type in which a kernel computes and adds up elements of type T. For *.isa.cpp alone.
#pragma once

namespace gamut::ops::GAMUT_ISA {
namespace {

template <class T>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};

}  // namespace
}  // namespace gamut::ops::GAMUT_ISA
