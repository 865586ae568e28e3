// Which documents are held out for validation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/documents.h"

namespace gamut::data {

// Where a name stands in [0, 1), uniform: held out is what lies below a share. It depends on
// nothing but name and seed, so that adding documents moves no other.
double split_position(const std::string& name, uint64_t seed);

// For each document, whether it is held out: its hash, made from name and seed, lies in the first
// `share` of all hashes. With two documents or more and 0 < share < 1, neither side is left empty.
std::vector<bool> hold_out(const std::vector<Document>& documents, double share, uint64_t seed);

// Where to cut a single document so that about `share` of its text comes after: behind the first
// line end from there on. Reads the document once.
int64_t cut_position(const Document& document, double share);

}  // namespace gamut::data
