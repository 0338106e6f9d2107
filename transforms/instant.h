/* instant: a provider's spelling of a point in time, as microseconds. Private to transforms.
 * Threads: pure. */
#pragma once
#include "core/span.h"
#include "sources/manifest.h"

/* UNIT_S and UNIT_MS: digits, with a fraction or without. ISO 8601 is understood under every unit, because it cannot be
 * mistaken for a number. false: not a time. */
bool instant_parse(struct span text, enum time_unit unit, uint64_t *ret_us);
