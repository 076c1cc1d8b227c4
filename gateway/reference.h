/* The API reference: made from docs/openapi.yaml by docs/reference.py when the gateway is built. */
#ifndef GATEWAY_REFERENCE_H
#define GATEWAY_REFERENCE_H

#include <stddef.h>

extern const unsigned char reference_page[]; /* HTML in UTF-8, whole in itself */
extern const size_t reference_page_size; /* bytes */
extern const unsigned char reference_yaml[]; /* docs/openapi.yaml as it is */
extern const size_t reference_yaml_size;
extern const char reference_style[]; /* "sha256-…": its style, as a Content-Security-Policy names it */

#endif
