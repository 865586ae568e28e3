// Exceptions of plugins get the plugin's name, version and the operation before they reach anyone.
#pragma once

#include <c10/util/Exception.h>
#include <gamut/plugin.h>

#include <memory>
#include <string>

namespace gamut::host {

// Whose code runs.
struct Label {
  std::string kind;
  std::string name;
  std::string version;
  std::string file;  // "" for what a script registered

  // mixer `gdn` 1.0.0 (/…/gdn.so)
  std::string text() const;
};

// What a plugin let escape that it did not write for a person: a LibTorch error, std::bad_alloc.
class __attribute__((visibility("default"))) ForeignError : public Error {
 public:
  using Error::Error;
};

// Runs `body`; an exception becomes a gamut::Error that says who failed in what. Exceptions that
// are not std::exception pass: Lua's own travel that way through mixers written in Lua.
template <class Body>
auto guarded(const Label& label, const char* operation, Body body) {
  auto because = [&](const std::string& message) {
    return label.text() + " failed in " + operation + ": " + message;
  };
  try {
    return body();
  } catch (const ForeignError& error) {
    throw ForeignError(because(error.what()));
  } catch (const Error& error) {
    throw Error(because(error.what()));
  } catch (const c10::Error& error) {
    throw ForeignError(because(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw ForeignError(because(error.what()));
  }
}

// The same objects with every call guarded. Tensors and groups are shared, not copied.
std::unique_ptr<Mixer> guard(std::unique_ptr<Mixer> mixer, Label label);
std::unique_ptr<Tokenizer> guard(std::unique_ptr<Tokenizer> tokenizer, Label label);
std::unique_ptr<Optimizer> guard(std::unique_ptr<Optimizer> optimizer, Label label);

}  // namespace gamut::host
