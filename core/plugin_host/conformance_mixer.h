// What the two halves of the mixer suite share.
#pragma once

#include "plugin_host/conformance.h"

namespace gamut::host::conformance {

struct MixerSuite {
  MixerMaker make;
  int64_t d_model;
  MixerMaker with_dropout;  // the same with dropout on; empty when the mixer has none

  // An instance in `dtype` whose parameters are moved a little off their initial values: a layer
  // that starts with a zero projection would pass every test. Equal at each call.
  std::unique_ptr<Mixer> fresh(at::ScalarType dtype = at::kDouble) const;
  at::Tensor input(int64_t batch, int64_t time, at::ScalarType dtype = at::kDouble) const;
};

// mixer.forward, with a memory when the mixer reads one: the same for every row and document.
at::Tensor forward(Mixer& mixer, const at::Tensor& x, MixerContext& context);

// Forward without gradients; checks shape and dtype of the result.
at::Tensor run(Mixer& mixer, const at::Tensor& x, State* state = nullptr,
               const at::Tensor& cu_seqlens = {});

// Converts floating-point parameters and buffers in place.
void convert(Mixer& mixer, at::ScalarType dtype);

// Gradients of the input and of each parameter against finite differences.
void check_mixer_gradients(const MixerSuite& suite, ConformanceReport& report);

// Odd lengths, empty documents, large inputs, narrow types, dropout, threads.
void check_hard_cases(const MixerSuite& suite, ConformanceReport& report);

// What gamut/recurrent.h asks of a mixer that offers it; nothing of others.
void check_recurrence(const MixerSuite& suite, ConformanceReport& report);

// What gamut/encoder_memory.h asks of a mixer that offers it; nothing of others.
void check_encoder_memory(const MixerSuite& suite, ConformanceReport& report);

}  // namespace gamut::host::conformance
