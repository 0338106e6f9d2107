/* document: sources/SOURCES.md as text, from the manifests inside the binary.
 * Threads: any. A manifest that does not parse is a bug (a unit test parses them all): its row says so. */
#pragma once
#include "core/buf.h"

void sources_document(struct buf *out);
