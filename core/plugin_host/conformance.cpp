// The lines that a conformance run prints, and the helpers that the suites share.
#include "plugin_host/conformance.h"

#include <c10/util/Exception.h>

#include <cstdio>
#include <ostream>

#include "plugin_host/conformance_tools.h"

namespace gamut::host {

ConformanceReport::ConformanceReport(std::ostream& out,
                                     std::function<void(const std::string&)> begin)
    : out_(out), begin_(std::move(begin)) {}

void ConformanceReport::check(const std::string& name, const std::function<std::string()>& body) {
  if (begin_) begin_(name);
  ++checks_;
  bool ok = false;
  std::string figures;
  try {
    figures = body();
    ok = true;
  } catch (const c10::Error& error) {
    figures = error.what_without_backtrace();
  } catch (const std::exception& error) {
    figures = error.what();
  }
  if (!ok) ++failures_;
  char line[64];
  std::snprintf(line, sizeof line, "%-7s %-34s ", ok ? "ok" : "FAILED", name.c_str());
  out_ << line << figures << std::endl;  // flushed: the next check may crash
}

bool ConformanceReport::finish(const std::string& subject) {
  out_ << subject << ": ";
  if (failures_ == 0) {
    out_ << checks_ << " checks, all ok" << std::endl;
  } else {
    out_ << failures_ << " of " << checks_ << " checks FAILED" << std::endl;
  }
  return failures_ == 0;
}

namespace conformance {

std::string figure(const char* what, double value) {
  char text[96];
  std::snprintf(text, sizeof text, "%s %.2g", what, value);
  return text;
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  GAMUT_CHECK(a.sizes() == b.sizes(), "shape ", a.sizes(), " where ", b.sizes(), " was expected");
  if (b.numel() == 0) return 0;
  const at::Tensor expected = b.to(at::kDouble);
  const double scale = std::max(expected.abs().max().item<double>(), 1e-30);
  const double error = (a.to(at::kDouble) - expected).abs().max().item<double>() / scale;
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

double error_by_length(const at::Tensor& a, const at::Tensor& b, double least) {
  GAMUT_CHECK(a.sizes() == b.sizes(), "shape ", a.sizes(), " where ", b.sizes(), " was expected");
  const at::Tensor expected = b.to(at::kDouble);
  const double length = std::max(expected.norm().item<double>(), least);
  const double error = (a.to(at::kDouble) - expected).norm().item<double>() / length;
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

std::string expect_close(const at::Tensor& a, const at::Tensor& b, double bound,
                         const std::string& what) {
  const double error = relative_error(a, b);
  GAMUT_CHECK(error <= bound, what, figure(": relative error", error), figure(", bound", bound));
  return figure("relative error", error);
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

std::string expect_refusal(const std::string& what, const std::function<void()>& call) {
  try {
    call();
  } catch (const ForeignError& error) {
    throw Error(what +
                " gives an error that does not come from the plugin; check the argument and "
                "throw gamut::Error: " +
                error.what());
  } catch (const Error& error) {
    return std::string("refused: ") + error.what();
  }  // other exceptions: LibTorch's, not a sentence of the plugin
  throw Error(what + " is accepted; it should be refused with a gamut::Error");
}

}  // namespace conformance
}  // namespace gamut::host
