// A tensor as text, in the manner of PyTorch: values in columns, long dimensions abbreviated, then
// dtype, shape and device.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "script/enums.h"
#include "script/tensor_members.h"

namespace gamut::script {
namespace {

constexpr int64_t kEdge = 3;           // entries shown at either end of a long dimension
constexpr int64_t kAbbreviate = 1000;  // elements from which dimensions are shortened
constexpr size_t kLineWidth = 80;

// One format for all the elements shown, so that columns line up.
struct Format {
  enum Style { integer, boolean, whole, fixed, scientific } style = fixed;
  size_t width = 0;

  std::string text(double value) const {
    if (style == boolean) return value != 0 ? "true" : "false";
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    const char* form = style == integer      ? "%.0f"
                       : style == whole      ? "%.0f."
                       : style == scientific ? "%.4e"
                                             : "%.4f";
    char buffer[400];
    std::snprintf(buffer, sizeof buffer, form, value);
    return buffer;
  }
  std::string padded(double value) const {
    std::string s = text(value);
    return s.size() < width ? std::string(width - s.size(), ' ') + s : s;
  }
};

Format::Style style_for(const at::Tensor& shown) {
  double low = INFINITY, high = 0;
  bool whole = true;
  const auto* values = shown.const_data_ptr<double>();
  for (int64_t i = 0; i < shown.numel(); ++i) {
    const double size = std::fabs(values[i]);
    if (!std::isfinite(size)) continue;
    whole = whole && size == std::floor(size);
    if (size == 0) continue;
    low = std::min(low, size);
    high = std::max(high, size);
  }
  const bool wide = high > 1e8 || (low != INFINITY && (high / low > 1000 || low < 1e-4));
  if (whole) return high > 1e8 ? Format::scientific : Format::whole;
  return wide && (high > 1e8 || low < 1e-4 || high / low > 1000) ? Format::scientific
                                                                 : Format::fixed;
}

Format format_for(const at::Tensor& tensor, const at::Tensor& shown) {
  Format format;
  if (tensor.scalar_type() == at::kBool) {
    format.style = Format::boolean;
  } else if (at::isIntegralType(tensor.scalar_type(), false)) {
    format.style = Format::integer;
  } else {
    format.style = style_for(shown);
  }
  const auto* values = shown.const_data_ptr<double>();
  for (int64_t i = 0; i < shown.numel(); ++i) {
    format.width = std::max(format.width, format.text(values[i]).size());
  }
  return format;
}

// The corners of a large tensor: at most kEdge entries from each end of every dimension.
at::Tensor corners(at::Tensor tensor) {
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    const int64_t n = tensor.size(d);
    if (n <= 2 * kEdge) continue;
    tensor = at::cat({tensor.narrow(d, 0, kEdge), tensor.narrow(d, n - kEdge, kEdge)}, d);
  }
  return tensor;
}

class Printer {
 public:
  Printer(Format format, at::IntArrayRef full, bool abbreviated)
      : format_(format), full_(full), abbreviated_(abbreviated) {}

  std::string print(const at::Tensor& shown, size_t indent) const {
    if (shown.dim() == 0) return format_.text(shown.item<double>());
    return shown.dim() == 1 ? row(shown, indent) : block(shown, indent);
  }

 private:
  bool gap_before(const at::Tensor& shown, int64_t i) const {
    const int64_t n = full_[full_.size() - shown.dim()];
    return abbreviated_ && n > 2 * kEdge && i == kEdge;
  }

  std::string row(const at::Tensor& shown, size_t indent) const {
    std::string text = "[";
    size_t column = indent + 1;
    const auto flat = shown.contiguous();
    const auto* values = flat.const_data_ptr<double>();
    for (int64_t i = 0; i < flat.numel(); ++i) {
      std::string item = gap_before(shown, i) ? "..., " : "";
      item += format_.padded(values[i]);
      if (i + 1 < flat.numel()) item += ", ";
      if (column + item.size() > kLineWidth && column > indent + 1) {
        text.erase(text.find_last_not_of(' ') + 1);
        text += "\n" + std::string(indent + 1, ' ');
        column = indent + 1;
      }
      text += item;
      column += item.size();
    }
    return text + "]";
  }

  std::string block(const at::Tensor& shown, size_t indent) const {
    const std::string separator = "," + std::string(static_cast<size_t>(shown.dim()) - 1, '\n') +
                                  std::string(indent + 1, ' ');
    std::string text = "[";
    for (int64_t i = 0; i < shown.size(0); ++i) {
      if (i > 0) text += separator;
      if (gap_before(shown, i)) text += "..." + separator;
      text += print(shown.select(0, i), indent + 1);
    }
    return text + "]";
  }

  Format format_;
  at::IntArrayRef full_;
  bool abbreviated_;
};

std::string values_text(const at::Tensor& tensor, size_t indent) {
  if (tensor.numel() == 0) return "[]";
  if (tensor.is_complex()) return values_text(at::view_as_real(tensor.resolve_conj()), indent);
  const bool abbreviated = tensor.numel() > kAbbreviate;
  const at::Tensor shown =
      (abbreviated ? corners(tensor) : tensor).cpu().to(at::kDouble).contiguous();
  return Printer(format_for(tensor, shown), tensor.sizes(), abbreviated).print(shown, indent);
}

}  // namespace

std::string tensor_text(const at::Tensor& given) {
  const at::Tensor tensor = given.detach();
  std::string text = "tensor(";
  if (tensor.layout() == at::kStrided) {
    text += values_text(tensor, text.size());
  } else {
    text += layout_name(tensor.layout());
  }
  text += c10::str(", ", dtype_name(tensor.scalar_type()), tensor.sizes());
  if (!tensor.is_cpu()) text += ", " + tensor.device().str();
  if (given.requires_grad()) text += given.is_leaf() ? ", requires_grad" : ", computed with grad";
  return text + ")";
}

}  // namespace gamut::script
