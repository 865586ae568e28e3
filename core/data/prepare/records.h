// What the journal says of a finished unit.
#pragma once

#include "data/prepare/journal.h"
#include "data/prepare/unit.h"

namespace gamut::data {

struct EncodedRecord {
  std::string head, payload;
};

// The first record of a journal.
std::string plan_record(const nlohmann::json& plan);

EncodedRecord encode_record(const Unit& unit, const UnitResult& result);

// The reverse, of all but `seconds`.
UnitResult decode_record(const Journal::Record& record);

}  // namespace gamut::data
