/* A JSON answer for people: rows in columns, an object as lines, one value by its path. Control bytes are not let
 * through. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <stdio.h>

#include <yyjson.h>

#include "proto/status.h"

/* A list has "data". columns: names with commas; one behind a '?' is left out where no row has it. */
void print_answer(FILE *out, yyjson_val *root, const char *columns);
enum status print_field(FILE *out, yyjson_val *root, const char *path, struct err *err); /* a.0.b */
void print_value(FILE *out, yyjson_val *v, int width);

#endif
