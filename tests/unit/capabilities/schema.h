// As much of JSON Schema 2020-12 as capabilities/manifest.schema.json uses; any other keyword is an
// error, so that the schema cannot say something that the tests do not check.
#pragma once

#include "common/json.h"

namespace sharkcage {

bool matches_schema(const Json& value, const Json& schema, const Json& root);

}  // namespace sharkcage
