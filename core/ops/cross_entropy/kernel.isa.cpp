// Cross entropy and its gradient, row by row. A row is widened and capped into scratch once, padded
// there to whole registers by values that count nothing; everything else runs in the L1 cache.
#include "ops/cross_entropy/kernel.h"

#include "ops/simd/sum_of.h"
#include "ops/simd/vec.h"

namespace gamut::ops::GAMUT_ISA {
namespace {

using Arguments = CrossEntropyArguments;

template <class S>
constexpr S kLowest = static_cast<S>(-3e38);  // exp of it minus any logit is 0

// 1 - 2 / (e^2x + 1) is within 1e-7 of tanh x, absolutely: what a capped logit needs.
template <class V>
GAMUT_INLINE V tanh(V x) {
  return 1 - 2 / (exp(2 * x) + 1);
}

template <class T>
class Row {
  using S = typename SumOf<T>::type;
  using V = Vec<S>;
  static constexpr int kWidth = kLanes<S>;

 public:
  explicit Row(const Arguments& a)
      : a_(a), z_(static_cast<S*>(a.scratch)), whole_(a.ids / kWidth * kWidth) {}

  // Loss and gradient of row r.
  void run(int64_t r) {
    const int64_t target = a_.targets[r];
    T* gradient = a_.gradient ? static_cast<T*>(a_.gradient) + r * a_.ids : nullptr;
    if (target == a_.ignore_index) {
      if (a_.losses) static_cast<S*>(a_.losses)[r] = 0;
      if (gradient) fill_zero(gradient);
      return;
    }
    widen(static_cast<const T*>(a_.logits) + r * a_.ids);
    const S most = largest(), of_target = z_[target];
    const S mean = smoothing() > 0 ? total() / static_cast<S>(a_.ids) : 0;
    const S normalizer = exponentials(most, gradient != nullptr);
    if (a_.losses) {
      static_cast<S*>(a_.losses)[r] =
          most + logarithm(normalizer) - (1 - smoothing()) * of_target - smoothing() * mean;
    }
    if (gradient) differentiate(gradient, target, of_target, 1 / normalizer);
  }

 private:
  S smoothing() const { return static_cast<S>(a_.label_smoothing); }
  static S logarithm(float x) { return __builtin_logf(x); }
  static S logarithm(double x) { return __builtin_log(x); }
  int rest() const { return static_cast<int>(a_.ids - whole_); }

  V cap(V x) const {
    if (a_.softcap <= 0) return x;
    const auto c = static_cast<S>(a_.softcap);
    return c * tanh(x * (1 / c));
  }

  void widen(const T* logits) {
    for (int64_t i = 0; i < whole_; i += kWidth) store(z_ + i, cap(load(logits + i)));
    if (rest() == 0) return;
    store(z_ + whole_, cap(load_first(logits + whole_, rest())));
    for (int i = rest(); i < kWidth; ++i) z_[whole_ + i] = kLowest<S>;
  }

  S largest() const {
    V most = splat(kLowest<S>);
    for (int64_t i = 0; i < a_.ids; i += kWidth) {
      const V z = load(z_ + i);
      most = z > most ? z : most;
    }
    S result = most[0];
    for (int i = 1; i < kWidth; ++i) result = most[i] > result ? most[i] : result;
    return result;
  }

  S total() const {
    V part{};
    for (int64_t i = 0; i < whole_; i += kWidth) part += load(z_ + i);
    S result = sum(part);
    for (int64_t i = whole_; i < a_.ids; ++i) result += z_[i];
    return result;
  }

  // The sum of exp(z - most). Without a cap, z is not needed again and the terms may take its
  // place.
  S exponentials(S most, bool keep) {
    keeps_terms_ = keep && a_.softcap <= 0;
    most_ = most;
    V part{};
    for (int64_t i = 0; i < a_.ids; i += kWidth) {
      const V term = exp(load(z_ + i) - most);
      part += term;
      if (keeps_terms_) store(z_ + i, term);
    }
    return sum(part);
  }

  // d loss / d z = softmax(z) - (1 - s) [i = t] - s / ids; through the cap, times 1 - (z / cap)^2.
  V gradient_at(int64_t i, S inverse) const {
    const V z = load(z_ + i);
    const V softmax = (keeps_terms_ ? z : exp(z - most_)) * inverse;
    return (softmax - smoothing() / static_cast<S>(a_.ids)) * static_cast<S>(a_.factor) * slope(z);
  }

  V slope(V z) const {
    if (a_.softcap <= 0) return splat(S{1});
    const V part = z * static_cast<S>(1 / a_.softcap);
    return 1 - part * part;
  }

  void differentiate(T* gradient, int64_t target, S of_target, S inverse) {
    for (int64_t i = 0; i < whole_; i += kWidth) store(gradient + i, gradient_at(i, inverse));
    if (rest() > 0) store_first(gradient + whole_, gradient_at(whole_, inverse), rest());
    const S softmax = exp(of_target - most_) * inverse;
    const S off = softmax - smoothing() / static_cast<S>(a_.ids) - (1 - smoothing());
    store_one(gradient + target, off * static_cast<S>(a_.factor) * slope(splat(of_target))[0]);
  }

  void fill_zero(T* gradient) {
    for (int64_t i = 0; i < a_.ids; ++i) store_one(gradient + i, S{0});
  }

  const Arguments& a_;
  S* z_;
  int64_t whole_;  // ids in whole registers
  S most_ = 0;
  bool keeps_terms_ = false;
};

template <class T>
void run(const Arguments& a) {
  Row<T> row(a);
  for (int64_t r = a.begin; r < a.end; ++r) row.run(r);
}

}  // namespace

void cross_entropy(const CrossEntropyArguments& a) {
  switch (a.element) {
    case Element::float32:
      return run<float>(a);
    case Element::bfloat16:
      return run<BFloat16>(a);
    case Element::float64:
      return run<double>(a);
  }
}

}  // namespace gamut::ops::GAMUT_ISA
