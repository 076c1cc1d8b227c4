/* list: header fields that are lists of words (RFC 9110, section 5.6.1), with parameters where the field has them. */
#ifndef GATEWAY_LIST_H
#define GATEWAY_LIST_H

#include "proto/wire.h"

/* The list's next item, without the space around it; takes it off the list. false: there is none. */
bool list_next(struct slice *list, struct slice *ret);
/* Is the word an item of the list? In whatever letters. */
bool list_has(struct slice list, const char *word);
/* Accept, Accept-Encoding: is the word named, with a weight (;q=) that is not zero? Wildcards say nothing. */
bool list_accepts(struct slice list, const char *word);

#endif
