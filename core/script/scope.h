// Scopes: regions of a script whose tensors are freed at its end rather than by the collector.
#pragma once

#include <ATen/core/Tensor.h>

#include "script/state.h"

namespace gamut::script {

// The userdata behind a tensor in Lua. While a scope owns it, it is in that scope's list.
struct TensorBox {
  at::Tensor tensor;
  TensorBox* previous = nullptr;
  TensorBox* next = nullptr;
  size_t bytes = 0;    // storage that this box brought into being, as told to the collector
  bool freed = false;  // by the end of its scope; using it is an error

  bool in_scope() const { return next != nullptr; }
  void unlink() {
    if (!in_scope()) return;
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
};

// A scope is a ring of boxes through its sentinel, and the scope around it.
struct Scope {
  explicit Scope(BridgeState& state);
  ~Scope() { close(); }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  void add(TensorBox* box);
  // Frees every tensor that is still in the scope, and scopes inside it first.
  void close();
  // Moves the scope's tensors out instead, into the scope around it.
  void release();
  bool is_open() const { return open_; }
  Scope* outer() const { return outer_; }

 private:
  void leave();

  BridgeState& state_;
  Scope* outer_;
  bool open_ = true;
  TensorBox sentinel_;
};

// Takes the tensors in the value at `index`, and in tables nested in it, out of `from`: they go to
// `to`, or to no scope at all (null).
void move_tensors(lua_State* L, int index, Scope* to);

// scope, new_scope, keep.
void add_scope_functions(lua_State* L);

}  // namespace gamut::script
