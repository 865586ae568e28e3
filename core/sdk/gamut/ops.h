// The host's fused operators, for plugins: differentiable, threaded, vectorised for the CPU at
// hand. They are the operators gamut::<name> of LibTorch's dispatcher, called with their types.
// Static, because the program's own functions have the same names and some the same arguments: what
// links both must not take one for the other.
#pragma once

#include <gamut/ops/attention.h>
#include <gamut/ops/causal_conv1d.h>
#include <gamut/ops/conv1d.h>
#include <gamut/ops/gated_delta_rule.h>
#include <gamut/ops/l2_norm.h>
#include <gamut/ops/linears.h>
#include <gamut/ops/lstm.h>
#include <gamut/ops/newton_schulz.h>
#include <gamut/ops/rms_norm.h>
#include <gamut/ops/rope.h>
#include <gamut/ops/selective_scan.h>
#include <gamut/ops/ssd.h>
#include <gamut/ops/swiglu.h>
