// Capability "recurrent/1": a mixer that opens its recurrence, so that others may start it from any
// memory, keep memories, and read from those kept (memory_cache does, around any such mixer).
//
// A recurrent mixer is four parts in a row:
//
//     project   x -> features         projections, convolutions, gates: all before the recurrence
//     scan      features -> reads     the recurrence itself, from one memory to the next
//     normalize reads -> reads        what depends on the memory's size, such as a normaliser
//     finish    reads -> y            norm, output gate, skip, output projection, dropout
//
// and its ordinary forward is the four of them: derive from RecurrentMixer and there is one path.
//
// Shapes. Features are tensors [rows, time, ...]: the caller may cut them and regroup their steps
// into other rows or packed documents, as `project` has left no bond between steps but the order.
// A memory is a list of tensors [rows, ...], those of the mixer's State that `memory_names` names,
// in that order; what new_state holds is the empty memory. A read is [rows, time, ...]. It has one
// dtype for scan and read: that of the values that are written (gdn and linear attention, so
// bfloat16 under autocast), or float32 (float64 for float64) where finish goes on in it, as that of
// mamba does. Who adds several reads adds in float32 at least and gives finish what scan's have.
// Gradients flow through all of them, memories included, to parameters too. read and normalize may
// be called again in the backward pass and must then give the same: they draw no random numbers.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_copy.h>
#include <ATen/ops/index_select.h>
#include <gamut/documents.h>
#include <gamut/mixer.h>

#include <string>
#include <string_view>
#include <vector>

namespace gamut {

using Memory = std::vector<at::Tensor>;

inline constexpr std::string_view kRecurrent = "recurrent/1";

class __attribute__((visibility("default"))) Recurrent {
 public:
  struct Scan {
    at::Tensor read;  // step t is read from the memory after it was written at t
    Memory memory;    // after the last step of each document
  };

  virtual ~Recurrent() = default;

  // The tensors of State that are the memory; the others (convolutions) belong to `project`.
  virtual std::vector<std::string> memory_names() const = 0;

  // x [batch, time, d_model] -> features [batch, time, ...]. Documents of the context are kept
  // apart. With a state, continues from and updates its tensors that are no memory; position and
  // memory stay as they are. Checks x, as forward does.
  virtual NamedTensors project(const at::Tensor& x, MixerContext& context) = 0;

  // The recurrence over features [rows, time, ...] from a memory for each row, or with cu_seqlens
  // (as in MixerContext, over these features) for each document that class Documents counts.
  virtual Scan scan(const NamedTensors& features, const Memory& memory,
                    const at::Tensor& cu_seqlens) = 0;

  // What frozen memories answer to the queries of the same features: no decay, no write. Memories
  // are stacked: [rows, n, ...], n >= 1 for each row. -> [rows, time, n, ...].
  virtual at::Tensor read(const NamedTensors& features, const Memory& memories) = 0;

  // Whether `read` is linear in the memory, as with a matrix; then the read of a weighted sum of
  // memories is the weighted sum of their reads. (A deep memory is not.)
  virtual bool reads_linearly() const { return true; }

  // From reads [rows, time, ..., (channels of a read)] to those that `finish` takes; works on the
  // last dimensions alone. Linear attention divides by its normaliser, a channel of the read.
  virtual at::Tensor normalize(const at::Tensor& read) { return read; }

  // The queries and the keys that the scan compares, [rows, time, n], heads side by side, of equal
  // n: by them a step may be compared with what is in a memory.
  virtual at::Tensor queries(const NamedTensors& features) = 0;
  virtual at::Tensor keys(const NamedTensors& features) = 0;

  // Normalised reads [batch, time, ...] -> y [batch, time, d_model].
  virtual at::Tensor finish(const at::Tensor& read, const NamedTensors& features,
                            MixerContext& context) = 0;
};

// The recurrence of a mixer, or null when it does not offer it. Lives as long as the mixer.
inline Recurrent* recurrent_of(Mixer& mixer) {
  return static_cast<Recurrent*>(mixer.query(kRecurrent));
}

// The feature of that name; throws gamut::Error when there is none.
inline const at::Tensor& feature(const NamedTensors& features, std::string_view name) {
  for (const auto& f : features) {
    if (f.name == name) return f.tensor;
  }
  throw Error(c10::str("there is no feature `", std::string(name), "`"));
}

inline Memory memory_of(const State& state, const std::vector<std::string>& names) {
  Memory memory;
  for (const auto& name : names) memory.push_back(state[name]);
  return memory;
}

// A memory for each document: that of `rows` for the first of a row, `empty` for the others.
inline Memory memory_by_document(const Documents& documents, const Memory& rows, Memory empty) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto first = documents.first_of_row().to(rows[i].device());
    empty[i] = at::index_copy(empty[i], 0, first, rows[i]);
  }
  return empty;
}

// A mixer that is its recurrence and nothing else: implement the parts and new_state.
class __attribute__((visibility("default"))) RecurrentMixer : public Mixer, public Recurrent {
 public:
  at::Tensor forward(const at::Tensor& x, MixerContext& context) override {
    const auto features = project(x, context);
    const Documents documents(context.cu_seqlens, x.size(0), x.size(1));
    const Scan scanned =
        scan(features, first_memory(documents, context.state), documents.cu_seqlens());
    if (context.state) keep(scanned.memory, documents, *context.state);
    return finish(normalize(scanned.read), features, context);
  }

  void* query(std::string_view id) override {
    return id == kRecurrent ? static_cast<Recurrent*>(this) : nullptr;
  }

 private:
  // What the scan of each document begins with.
  Memory first_memory(const Documents& documents, const State* state) const {
    const auto names = memory_names();
    if (state && !documents.packed()) return memory_of(*state, names);
    const Memory empty = memory_of(new_state(documents.size()), names);
    return state ? memory_by_document(documents, memory_of(*state, names), empty) : empty;
  }

  // The state after a call: the memory of each row's last document.
  void keep(const Memory& memory, const Documents& documents, State& state) const {
    const auto names = memory_names();
    for (size_t i = 0; i < names.size(); ++i) {
      auto after = memory[i].detach();
      if (documents.packed()) {
        after = after.index_select(0, documents.last_of_row().to(after.device()));
      }
      state[names[i]] = after;
    }
    state.position += documents.time();
  }
};

}  // namespace gamut
