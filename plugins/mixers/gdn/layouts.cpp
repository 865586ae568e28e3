// How other projects name and pack the weights of a Gated DeltaNet layer.
#include "layouts.h"

namespace gamut::gdn {

using weights::Layout;
using weights::Part;
using weights::Rows;

namespace {

// Appends `count` rows from `from` on.
void append(Rows& to, int64_t from, int64_t count) {
  for (int64_t row = from; row < from + count; ++row) to.push_back(row);
}

// Names that differ from ours; A_log, dt_bias and what is not listed are called alike.
std::vector<Part> renamed(const std::vector<Part>& different) {
  std::vector<Part> parts = different;
  for (const char* name :
       {"q_proj.weight", "k_proj.weight", "v_proj.weight", "a_proj.weight", "b_proj.weight",
        "g_proj.weight", "o_proj.weight", "q_conv1d.weight", "k_conv1d.weight", "v_conv1d.weight",
        "A_log", "dt_bias", "o_norm.weight"}) {
    const bool listed = std::any_of(different.begin(), different.end(),
                                    [&](const Part& part) { return part.own == name; });
    if (!listed) parts.push_back({name, name, {}});
  }
  return parts;
}

const std::vector<Part> kOlmoCoreProjections = {
    {"q_proj.weight", "w_q.weight", {}},  {"k_proj.weight", "w_k.weight", {}},
    {"v_proj.weight", "w_v.weight", {}},  {"a_proj.weight", "w_a.weight", {}},
    {"b_proj.weight", "w_b.weight", {}},  {"g_proj.weight", "w_g.weight", {}},
    {"o_proj.weight", "w_out.weight", {}}};

std::vector<Part> with(std::vector<Part> parts, const std::vector<Part>& more) {
  parts.insert(parts.end(), more.begin(), more.end());
  return parts;
}

// One convolution over queries, keys and values.
std::vector<Part> fused_conv(const HeadSizes& s) {
  const int64_t keys = s.heads * s.d_k, values = s.value_heads * s.d_v;
  return {{"q_conv1d.weight", "conv1d.weight", weights::rows(0, keys)},
          {"k_conv1d.weight", "conv1d.weight", weights::rows(keys, 2 * keys)},
          {"v_conv1d.weight", "conv1d.weight", weights::rows(2 * keys, 2 * keys + values)}};
}

// Qwen's names for what is not fused.
std::vector<Part> qwen_tail(const HeadSizes& s) {
  return with(fused_conv(s),
              {{"o_norm.weight", "norm.weight", {}}, {"o_proj.weight", "out_proj.weight", {}}});
}

// Qwen3-Next packs by key head: that head's query, key, values and gates; its b, then its a.
std::vector<Part> qwen3_next_projections(const HeadSizes& s) {
  const int64_t shared = s.value_heads / s.heads, values = shared * s.d_v;
  Rows q, k, v, g, a, b;
  for (int64_t head = 0; head < s.heads; ++head) {
    const int64_t at = head * 2 * (s.d_k + values), gates = head * 2 * shared;
    append(q, at, s.d_k);
    append(k, at + s.d_k, s.d_k);
    append(v, at + 2 * s.d_k, values);
    append(g, at + 2 * s.d_k + values, values);
    append(b, gates, shared);
    append(a, gates + shared, shared);
  }
  return {{"q_proj.weight", "in_proj_qkvz.weight", q}, {"k_proj.weight", "in_proj_qkvz.weight", k},
          {"v_proj.weight", "in_proj_qkvz.weight", v}, {"g_proj.weight", "in_proj_qkvz.weight", g},
          {"b_proj.weight", "in_proj_ba.weight", b},   {"a_proj.weight", "in_proj_ba.weight", a}};
}

// Qwen3.5 keeps queries, keys and values in one matrix, one after the other, and the rest apart.
std::vector<Part> qwen3_5_projections(const HeadSizes& s) {
  const int64_t keys = s.heads * s.d_k, values = s.value_heads * s.d_v;
  return {{"q_proj.weight", "in_proj_qkv.weight", weights::rows(0, keys)},
          {"k_proj.weight", "in_proj_qkv.weight", weights::rows(keys, 2 * keys)},
          {"v_proj.weight", "in_proj_qkv.weight", weights::rows(2 * keys, 2 * keys + values)},
          {"g_proj.weight", "in_proj_z.weight", {}},
          {"b_proj.weight", "in_proj_b.weight", {}},
          {"a_proj.weight", "in_proj_a.weight", {}}};
}

}  // namespace

std::vector<Layout> foreign_layouts(const HeadSizes& sizes) {
  const std::vector<Part> golf = {{"q_conv1d.weight", "q_conv.weight", {}},
                                  {"k_conv1d.weight", "k_conv.weight", {}},
                                  {"v_conv1d.weight", "v_conv.weight", {}},
                                  {"o_norm.weight", "o_norm_weight", {}}};
  const std::vector<Part> speech = {{"g_proj.weight", "gate_proj.weight", {}},
                                    {"o_proj.weight", "out_proj.weight", {}},
                                    {"q_conv1d.weight", "q_conv1d.conv.weight", {}},
                                    {"k_conv1d.weight", "k_conv1d.conv.weight", {}},
                                    {"v_conv1d.weight", "v_conv1d.conv.weight", {}}};
  return {
      {"OLMo-core", renamed(kOlmoCoreProjections)},
      {"transformers' OlmoHybrid", renamed(fused_conv(sizes))},
      {"transformers' Qwen3-Next", renamed(with(qwen3_next_projections(sizes), qwen_tail(sizes)))},
      {"transformers' Qwen3.5", renamed(with(qwen3_5_projections(sizes), qwen_tail(sizes)))},
      {"the golf study", renamed(with(kOlmoCoreProjections, golf))},
      {"the speech study", renamed(speech)}};
}

}  // namespace gamut::gdn
