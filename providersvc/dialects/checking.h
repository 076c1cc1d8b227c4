/*
 * Reading a client's JSON: is each member there and of its kind, and an error that says the path of the one that is
 * not, in the words of the client's API. Where the reader stands is kept as steps; a path is written for an error only.
 *
 *     OpenAI      messages[0].content[1].text     Invalid type for '…': expected a string, but got a number instead.
 *     Anthropic   messages.0.content.1.text       …: Input should be a valid string
 *
 * Numbers are read as text (YYJSON_READ_NUMBER_AS_RAW), so that what is passed on arrives as it was written.
 */
#ifndef PROVIDERSVC_DIALECTS_CHECKING_H
#define PROVIDERSVC_DIALECTS_CHECKING_H

#include <yyjson.h>

#include "providersvc/dialects/translate.h"

#define CHECKING_STEPS_MAX 16 /* what is further inside is not named */

/* What a member may be. */
enum {
    IS_STRING = 1,
    IS_NUMBER = 2,
    IS_BOOL = 4,
    IS_OBJECT = 8,
    IS_ARRAY = 16,
    IS_COUNT = 32, /* a whole number, not negative */
};

struct checking {
    struct translate_call *call;
    struct err *err;
    const char *upstream; /* what errors call the other side */
    bool anthropic; /* the client's API is Anthropic's */
    size_t depth;
    struct checking_step {
        const char *name; /* a constant */
        size_t index; /* of an item of the list of that name */
        bool item;
    } steps[CHECKING_STEPS_MAX];
};

/* Steps into the member, or the item of the list, of where we are, and out again. After an error nobody needs to. */
void check_enter(struct checking *c, const char *name);
void check_enter_item(struct checking *c, const char *list, size_t index);
void check_leave(struct checking *c);

/* Errors of the member key ("a", or "a.b") of where we are; key NULL = of where we are itself. All give ST_BAD_REQUEST,
 * but that the unsupported ones give ST_OK where such things are left out. `expected` completes OpenAI's sentence
 * ("a string"), and is Anthropic's whole one ("Input should be …"). */
enum status check_wrong_type(struct checking *c, const char *key, const char *expected, yyjson_val *got);
enum status check_invalid(struct checking *c, const char *key, const char *expected);
enum status check_missing(struct checking *c, const char *key);
enum status check_unsupported(struct checking *c, const char *key);
enum status check_unsupported_by(struct checking *c, const char *key, const char *upstream);
/* It is the model that has no such thing, which the error calls as the client does. */
enum status check_unsupported_model(struct checking *c, const char *key);
enum status check_unsupported_value(struct checking *c, const char *key, yyjson_val *text);
/* What would change the call's meaning if it were left out, so never is. */
enum status check_refuse(struct checking *c, const char *key, const char *why);
enum status check_refuse_value(struct checking *c, const char *key, const char *why);
/* A member that has no place here: unsupported. A name that is no word is refused always and not repeated, because it
 * would come to stand in a header. */
enum status check_unknown(struct checking *c, yyjson_val *key);

/* ST_OK when v is one of kinds. */
enum status check_is(struct checking *c, const char *key, yyjson_val *v, unsigned kinds);
/* *ret: the member, NULL when it is absent or null; or the error of its type. */
enum status check_get(struct checking *c, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret);
/* The same, but it must be there. */
enum status check_need(struct checking *c, yyjson_val *object, const char *key, unsigned kinds, yyjson_val **ret);
/* A string that must be there and not be empty. */
enum status check_name(struct checking *c, yyjson_val *object, const char *key, struct slice *ret);
/* A whole number from least on, as it stood. needed: it must be there; else NULL when it is absent or null. */
enum status check_count(struct checking *c, yyjson_val *object, const char *key, bool needed, uint64_t least,
                        yyjson_val **ret);
/* Members that are not in known (ends with NULL) and not null: check_unknown. object may be NULL. */
enum status check_only(struct checking *c, yyjson_val *object, const char *const *known);

/* A number from 0 to most, which is a whole one. */
enum status check_upto(struct checking *c, const char *key, yyjson_val *v, unsigned most, double *ret);

bool check_absent(yyjson_val *v); /* null is like a member that is not there */
bool check_count_of(yyjson_val *v, uint64_t *ret); /* of a whole number, if it is one */
bool check_number_of(yyjson_val *v, yyjson_val *ret); /* of any number, if it is one that can be held */
double check_real(yyjson_val *v); /* of any number, infinite where it is too large; 0 of what is none */
bool check_word(struct slice s); /* letters, digits, _ and -; at least one */

#endif
