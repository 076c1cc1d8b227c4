/* Chat takes nothing but text in a tool's result: an image or a file goes into a user's message behind the results,
 * which says of which call it is. */
#ifndef PROVIDERSVC_DIALECTS_RESULT_LABEL_H
#define PROVIDERSVC_DIALECTS_RESULT_LABEL_H

#include "providersvc/dialects/making.h"

/* The text that stands before the images and files of that call's result. call_id: the client's, at most LIMIT_BODY. */
yyjson_mut_val *result_label(struct making *m, struct slice call_id);

#endif
