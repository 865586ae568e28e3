// From a complete journal to the files of the data set.
#pragma once

#include <optional>
#include <vector>

#include "data/prepare/journal.h"
#include "data/prepare/unit.h"

namespace gamut::data {

// Writes shards, sources.jsonl and skipped.jsonl into the empty folder `shards`, in the order of
// the units, and returns what the manifest says of them: `splits`, `units`, `files`.
nlohmann::json assemble_shards(const std::vector<Unit>& units,
                               const std::vector<std::optional<Journal::Place>>& places,
                               const Journal& journal, const UnitWork& work,
                               const std::filesystem::path& shards);

}  // namespace gamut::data
