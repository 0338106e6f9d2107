/* form: an application/x-www-form-urlencoded body as a JSON object of strings. Private to transforms.
 * Threads: pure. */
#pragma once
#include "core/buf.h"

/* Appends {"Name":"value",…} in the order received; a field that comes twice is there twice (the last one counts, as in
 * JSON). Bytes that are not UTF-8 become U+FFFD. false: a percent escape is wrong. */
bool form_to_json(struct span body, struct buf *out);
