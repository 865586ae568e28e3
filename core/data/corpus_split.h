// Which documents are held out for validation.
#pragma once

#include <cstdint>
#include <vector>

#include "data/documents.h"

namespace gamut::data {

// For each document, whether it is held out: its hash, made from name and seed, lies in the first
// `share` of all hashes. With two documents or more and 0 < share < 1, neither side is left empty.
std::vector<bool> hold_out(const std::vector<Document>& documents, double share, uint64_t seed);

// Where to cut a single document so that about `share` of its text comes after: behind the first
// line end from there on. Reads the document once.
int64_t cut_position(const Document& document, double share);

}  // namespace gamut::data
