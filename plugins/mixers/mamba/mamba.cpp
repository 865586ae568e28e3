// The mamba mixer; see README.md for the equations and the options of known models.
#include "mamba.h"

#include "mamba1.h"
#include "mamba2.h"

namespace gamut::mamba {

namespace {

void refuse(const Options& options, const std::vector<const char*>& names, const char* owner,
            const char* chosen) {
  for (const char* name : names) {
    GAMUT_CHECK(!options.has(name), "option `", name, "` belongs to ", owner, " and this is ",
                chosen, "; leave it out or give the other version");
  }
}

std::unique_ptr<Layer> make_layer(const Options& options) {
  if (options.integer("version") == 1) {
    refuse(options,
           {"head_dim", "n_groups", "norm_before_gate", "norm_eps", "chunk_size", "A_init_range"},
           "Mamba-2 (version = 2)", "Mamba-1 (version = 1)");
    return std::make_unique<Mamba1>(options);
  }
  refuse(options, {"dt_rank"}, "Mamba-1 (version = 1)", "Mamba-2 (version = 2)");
  return std::make_unique<Mamba2>(options);
}

}  // namespace

Mamba::Mamba(const Options& options, Host& /*host*/) : layer_(make_layer(options)) {
  register_module("", *layer_);
}

}  // namespace gamut::mamba

GAMUT_MIXER(gamut::mamba::Mamba, "mamba", "1.0.0",
            "Mamba-1 and Mamba-2: selective state spaces, linear in time")
