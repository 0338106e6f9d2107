/* xml: the part of XML in which object stores answer, read piece by piece. Private to staging.
 *
 * Elements, text, the five named entities and numeric ones, CDATA; comments, processing instructions and attributes are
 * passed over, prefixes of names cut off. A document type is refused (no entity can be declared), so are more than
 * XML_DEPTH_MAX levels, an end tag
 * that ends another element, bytes behind the root. Works in the depth's memory; nothing of the answer is copied.
 * Threads: plain values. Life: xml_init -> xml_next* until XML_END or XML_BAD. Borrows the answer. */
#pragma once
#include "core/buf.h"

#define XML_DEPTH_MAX 16

enum xml_event { XML_OPEN, XML_CLOSE, XML_TEXT, XML_END, XML_BAD };
struct xml {
    struct span rest;
    struct span names[XML_DEPTH_MAX]; /* of the open elements */
    unsigned depth;
    bool empty; /* <a/>: its end comes next */
    bool cdata, done;
    struct span text; /* of XML_TEXT: as it stands there; xml_text adds what it means */
};
void xml_init(struct xml *x, struct span answer);
enum xml_event xml_next(struct xml *x);
/* The element that is open now, {NULL, 0} outside of the root. With XML_CLOSE: its parent. */
struct span xml_name(const struct xml *x);
/* Adds the text of the last XML_TEXT, entities replaced. false: one that is none. */
bool xml_text(const struct xml *x, struct buf *out);
