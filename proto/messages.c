#include "proto/messages.h"

PROTO_MESSAGES(WIRE_DESC)

#define PROTO_REF(LIST, m, type, doc) &m##_desc,
const struct wire_desc *const proto_messages[] = {PROTO_MESSAGES(PROTO_REF) NULL};

const struct wire_desc *proto_message_by_type(uint16_t type)
{
    size_t i;

    for (i = 0; proto_messages[i]; i++)
        if (proto_messages[i]->type == type)
            return proto_messages[i];
    return NULL;
}
