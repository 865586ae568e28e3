// Tables of foreign weights; see layouts.h.
#include "layouts.h"

namespace gamut::attention {

using weights::Layout;
using weights::Part;
using weights::Rows;

namespace {

// Which channel member 0 or 1 of pair j is.
int64_t channel(const Rope& rope, RopePairs pairs, int64_t j, int64_t member) {
  return pairs == RopePairs::interleaved ? 2 * j + member : j + member * (rope.dim / 2);
}

// Rows of a project that pairs and turns channels in its own way. The same angle the other way
// round is the same rotation with the members of each pair exchanged.
class Convention {
 public:
  Convention(const HeadSizes& sizes, RopePairs pairs, bool reverse) : sizes_(sizes) {
    const auto& rope = sizes.rope;
    for (int64_t i = 0; i < sizes.head_dim; ++i) channels_.push_back(i);
    if (rope.pairs == RopePairs::none) return;
    const int64_t swap = rope.reverse != reverse ? 1 : 0;
    for (int64_t j = 0; j < rope.dim / 2; ++j) {
      for (int64_t member = 0; member < 2; ++member) {
        channels_[channel(rope, rope.pairs, j, member)] = channel(rope, pairs, j, member ^ swap);
      }
    }
  }

  // The channels of `heads` heads from row `from` on.
  Rows turned(int64_t from, int64_t heads) const {
    Rows rows;
    for (int64_t head = 0; head < heads; ++head) {
      for (const int64_t c : channels_) rows.push_back(from + head * sizes_.head_dim + c);
    }
    return rows;
  }

 private:
  const HeadSizes& sizes_;
  std::vector<int64_t> channels_;
};

void add_norms(std::vector<Part>& parts, const Convention& convention) {
  for (const char* name : {"q_norm.weight", "k_norm.weight"}) {
    parts.push_back({name, name, convention.turned(0, 1)});
  }
}

// Four matrices under other names.
Layout separate(const char* project, const HeadSizes& s, const Convention& convention,
                const std::vector<std::string>& names) {
  Layout layout{project, {}};
  for (const char* kind : {".weight", ".bias"}) {
    const std::string suffix = kind;
    layout.parts.push_back({"q_proj" + suffix, names[0] + suffix, convention.turned(0, s.heads)});
    layout.parts.push_back(
        {"k_proj" + suffix, names[1] + suffix, convention.turned(0, s.kv_heads)});
    layout.parts.push_back({"v_proj" + suffix, names[2] + suffix, {}});
    layout.parts.push_back({"o_proj" + suffix, names[3] + suffix, {}});
  }
  add_norms(layout.parts, convention);
  return layout;
}

// Queries, keys and values in one matrix, one after the other.
Layout fused(const char* project, const HeadSizes& s, const Convention& convention,
             const std::string& qkv, const std::string& out) {
  const int64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
  Layout layout{project, {}};
  for (const std::string kind : {"weight", "bias"}) {
    layout.parts.push_back({"q_proj." + kind, qkv + kind, convention.turned(0, s.heads)});
    layout.parts.push_back({"k_proj." + kind, qkv + kind, convention.turned(q, s.kv_heads)});
    layout.parts.push_back({"v_proj." + kind, qkv + kind, weights::rows(q + kv, q + 2 * kv)});
    layout.parts.push_back({"o_proj." + kind, out + kind, {}});
  }
  add_norms(layout.parts, convention);
  return layout;
}

}  // namespace

std::vector<Layout> foreign_layouts(const HeadSizes& sizes) {
  const Convention same(sizes, sizes.rope.pairs, sizes.rope.reverse);
  const Convention half(sizes, RopePairs::half, false);
  const Convention half_reverse(sizes, RopePairs::half, true);
  const Convention interleaved(sizes, RopePairs::interleaved, false);
  auto golf = separate("the golf study", sizes, half_reverse, {"c_q", "c_k", "c_v", "proj"});
  golf.parts.push_back({"q_gain", "q_gain", {}});
  std::vector<Layout> layouts = {
      golf, separate("Meta's Llama", sizes, interleaved, {"wq", "wk", "wv", "wo"}),
      separate("OLMo-core", sizes, half, {"w_q", "w_k", "w_v", "w_out"}),
      separate("the speech study", sizes, interleaved, {"q_proj", "k_proj", "v_proj", "out_proj"})};
  if (!sizes.equal_inputs) return layouts;
  layouts.push_back(fused("transformers' Phi-3", sizes, half, "qkv_proj.", "o_proj."));
  for (const char* out : {"out_proj.", "proj.", "out."}) {
    layouts.push_back(
        fused("a fused nn.Linear, channels paired as here", sizes, same, "qkv.", out));
  }
  layouts.push_back(fused("torch.nn.MultiheadAttention", sizes, same, "in_proj_", "out_proj."));
  return layouts;
}

}  // namespace gamut::attention
