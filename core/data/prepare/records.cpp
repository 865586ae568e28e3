// Head: JSON with the number of tokens of each part. Payload: the tokens of all parts.
#include "data/prepare/records.h"

#include <cstring>

#include "data/prepare/plan.h"

namespace gamut::data {

using nlohmann::json;

std::string plan_record(const json& plan) {
  return json{{"plan", plan}}.dump();
}

EncodedRecord encode_record(const Unit& unit, const UnitResult& result) {
  json head = {{"unit", unit.name}, {"fingerprint", fingerprint(unit)}};
  if (!result.source.is_null()) head["source"] = result.source;
  EncodedRecord record;
  if (!result.skipped.empty()) {
    head["skipped"] = result.skipped;
  } else {
    json parts = json::array();
    for (const Part& part : result.parts) {
      parts.push_back(
          {{"split", part.split}, {"facts", part.facts}, {"tokens", part.tokens.size()}});
      record.payload.append(reinterpret_cast<const char*>(part.tokens.data()),
                            part.tokens.size() * sizeof(uint16_t));
    }
    head["parts"] = std::move(parts);
  }
  // Names of files are bytes; what is not UTF-8 in them or in a message is marked, not refused.
  record.head = head.dump(-1, ' ', false, json::error_handler_t::replace);
  return record;
}

UnitResult decode_record(const Journal::Record& record) {
  const json head = json::parse(record.head);
  UnitResult result;
  result.skipped = head.value("skipped", "");
  result.source = head.value("source", json());
  size_t offset = 0;
  for (const json& described : head.value("parts", json::array())) {
    Part part;
    part.split = described.at("split");
    part.facts = described.at("facts");
    part.tokens.resize(described.at("tokens").get<size_t>());
    const size_t bytes = part.tokens.size() * sizeof(uint16_t);
    GAMUT_CHECK(offset + bytes <= record.payload.size(), "a record of the journal is too short");
    std::memcpy(part.tokens.data(), record.payload.data() + offset, bytes);
    offset += bytes;
    result.parts.push_back(std::move(part));
  }
  return result;
}

}  // namespace gamut::data
