/* Responses over chat completions: every tool has a name of its own upstream, the same in every turn. In tables ' is ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

#include "tests/unit/responses_to_chat_fixture.h"

#define TOOLS_MAX 4
#define NAME_SIZE (TRANSLATE_NAME_MAX + 1)
#define LIST_SIZE 4096

/* 77 letters, as servers of MCP have them: what tells such names apart comes behind. */
#define MCP "mcp__company_internal_knowledge_base_server__documents_search_with_filters_by"
#define MCP_SPACE "mcp__company_internal_knowledge_base_server_of_the_whole_department"

/* A tool as the client has it. */
struct tool {
    const char *space, *name; /* space: NULL = none */
    bool custom;
    const char *sent; /* NULL = it does not matter, as long as no other has it */
};

static const struct row {
    struct tool tools[TOOLS_MAX];
    size_t n;
} rows[] = {
    {{{NULL, MCP "_day", false, NULL}, {NULL, MCP "_dax", false, NULL}, {NULL, MCP "_da", false, NULL}}, 3},
    {{{NULL, MCP "_day", true, NULL}, {NULL, MCP "_dax", true, NULL}, {NULL, MCP "_day", false, NULL}}, 3},
    {{{MCP_SPACE, "find_a", false, NULL}, {MCP_SPACE, "find_b", false, NULL}, {MCP_SPACE, "find_b", true, NULL}}, 3},
    /* what the client itself calls so keeps its name, wherever it stands */
    {{{"mcp__github", "search", false, NULL}, {NULL, "mcp__github__search", false, "mcp__github__search"}}, 2},
    {{{NULL, "mcp__github__run", false, "mcp__github__run"}, {"mcp__github", "run", true, NULL}}, 2},
    {{{NULL, "f", false, "f"}, {NULL, "f", true, NULL}, {NULL, "g", true, "g"}}, 3},
    {{{"n", "f", true, NULL}, {NULL, "n__f", true, NULL}, {"n", "f", false, NULL}, {NULL, "n__f", false, "n__f"}}, 4},
    {{{"mcp", "github__run", false, NULL}, {"mcp__github", "run", false, NULL}, {"mcp", "run", false, "mcp__run"}}, 3},
    {{{"a.b", "f", false, NULL}, {"a-b", "f", false, "a-b__f"}, {"a_b", "f", false, NULL}, {"a b", "f", false, NULL}},
     4},
    /* alone: nothing to be told apart from */
    {{{"mcp__github", "search", false, "mcp__github__search"}, {NULL, "search", false, "search"}}, 2},
};

/* Their list; backwards: from the last to the first. */
static void list_tools(const struct row *row, bool backwards, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < row->n; i++) {
        const struct tool *tool = &row->tools[backwards ? row->n - 1 - i : i];

        if (i > 0)
            n += (size_t)snprintf(to + n, LIST_SIZE - n, ",");
        if (tool->space != NULL)
            n += (size_t)snprintf(to + n, LIST_SIZE - n, "{'type':'namespace','name':'%s','tools':[", tool->space);
        n += (size_t)snprintf(to + n, LIST_SIZE - n, "{'type':'%s','name':'%s'}%s",
                              tool->custom ? "custom" : "function", tool->name, tool->space != NULL ? "]}" : "");
    }
}

/* Calls of all of them, as the client sends them back. */
static void list_calls(const struct row *row, char *to)
{
    size_t n = 0;

    for (size_t i = 0; i < row->n; i++) {
        const struct tool *tool = &row->tools[i];

        if (tool->space != NULL)
            n += (size_t)snprintf(to + n, LIST_SIZE - n, "{'namespace':'%s',", tool->space);
        else
            n += (size_t)snprintf(to + n, LIST_SIZE - n, "{");
        n += (size_t)snprintf(to + n, LIST_SIZE - n, "'type':'%s','call_id':'c%zu','name':'%s','%s':'{}'},",
                              tool->custom ? "custom_tool_call" : "function_call", i, tool->name,
                              tool->custom ? "input" : "arguments");
    }
}

/* The names in a list of {function: {name}}. */
static void read_names(yyjson_val *list, char names[TOOLS_MAX][NAME_SIZE])
{
    yyjson_val *item;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, item)
    {
        const char *name = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(item, "function"), "name"));

        assert_non_null(name);
        assert_true(strlen(name) < NAME_SIZE);
        snprintf(names[i], NAME_SIZE, "%s", name);
    }
}

static void read_sent(const struct translating *t, char tools[TOOLS_MAX][NAME_SIZE], char calls[TOOLS_MAX][NAME_SIZE])
{
    yyjson_doc *doc = yyjson_read(t->out.p, t->out.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);

    read_names(yyjson_obj_get(root, "tools"), tools);
    read_names(yyjson_obj_get(yyjson_arr_get_first(yyjson_obj_get(root, "messages")), "tool_calls"), calls);
    yyjson_doc_free(doc);
}

/* The model calls every tool: the client is told its own names. */
static void come_back(struct translating *t, const struct row *row, char names[TOOLS_MAX][NAME_SIZE])
{
    char text[LIST_SIZE];
    struct slice answer;
    yyjson_doc *doc;
    yyjson_val *item;
    size_t at = 0, i, n;

    at += (size_t)snprintf(text, sizeof(text), "{'choices':[{'finish_reason':'tool_calls','message':{'tool_calls':[");
    for (i = 0; i < row->n; i++)
        at +=
            (size_t)snprintf(text + at, sizeof(text) - at, "%s{'id':'c%zu','function':{'name':'%s','arguments':'{}'}}",
                             i > 0 ? "," : "", i, names[i]);
    snprintf(text + at, sizeof(text) - at, "]}}]}");
    answer = quoted(text);
    assert_int_equal(translating_answer(t, answer), ST_OK);
    doc = yyjson_read(t->out.p, t->out.n, 0);
    assert_int_equal(yyjson_arr_size(yyjson_obj_get(yyjson_doc_get_root(doc), "output")), row->n);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "output"), i, n, item)
    {
        const struct tool *tool = &row->tools[i];

        assert_true(
            yyjson_equals_str(yyjson_obj_get(item, "type"), tool->custom ? "custom_tool_call" : "function_call"));
        assert_true(yyjson_equals_str(yyjson_obj_get(item, "name"), tool->name));
        if (tool->space != NULL)
            assert_true(yyjson_equals_str(yyjson_obj_get(item, "namespace"), tool->space));
        else
            assert_null(yyjson_obj_get(item, "namespace"));
    }
    yyjson_doc_free(doc);
    drop(answer);
}

static void every_tool_has_its_own_name_in_every_turn(void **state)
{
    static char tools[LIST_SIZE], calls[LIST_SIZE], text[3 * LIST_SIZE];
    char sent[TOOLS_MAX][NAME_SIZE], again[TOOLS_MAX][NAME_SIZE], called[TOOLS_MAX][NAME_SIZE];
    struct translating t;

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        const struct row *row = &rows[k];

        begin(&t);
        list_tools(row, false, tools);
        list_calls(row, calls);
        snprintf(text, sizeof(text), "{'input':'x','tools':[%s]}", tools);
        if (ask(&t, text) != ST_OK)
            fail_msg("row %zu: %s", k, t.err.text);
        read_sent(&t, sent, called);
        for (size_t i = 0; i < row->n; i++) {
            if (row->tools[i].sent != NULL)
                assert_string_equal(sent[i], row->tools[i].sent);
            for (size_t j = 0; j < i; j++)
                assert_string_not_equal(sent[i], sent[j]);
        }
        come_back(&t, row, sent);
        translating_end(&t);

        /* the next turn, tools in another order; then tools in the input, behind the calls */
        list_tools(row, true, tools);
        for (size_t inside = 0; inside < 2; inside++) {
            begin(&t);
            snprintf(text, sizeof(text),
                     inside ? "{'input':[%s{'type':'additional_tools','tools':[%s]}]}"
                            : "{'input':[%s{'role':'user','content':'x'}],'tools':[%s]}",
                     calls, tools);
            if (ask(&t, text) != ST_OK)
                fail_msg("row %zu: %s", k, t.err.text);
            read_sent(&t, again, called);
            for (size_t i = 0; i < row->n; i++) {
                assert_string_equal(called[i], sent[i]);
                assert_string_equal(again[row->n - 1 - i], sent[i]);
            }
            translating_end(&t);
        }
    }
}

/* The choice means the same one. */
static void a_choice_names_the_right_one(void **state)
{
    char sent[TOOLS_MAX][NAME_SIZE], none[TOOLS_MAX][NAME_SIZE], chosen[128];
    struct translating t;

    (void)state;
    begin(&t);
    assert_int_equal(ask(&t,
                         "{'input':'x','tools':[{'type':'function','name':'f'},{'type':'custom','name':'f'},"
                         "{'type':'function','name':'" MCP "_day'}],'tool_choice':{'type':'allowed_tools','mode':"
                         "'auto','tools':[{'type':'custom','name':'f'},{'type':'function','name':'" MCP "_day'}]}}"),
                     ST_OK);
    read_sent(&t, sent, none);
    snprintf(chosen, sizeof(chosen), "{\"type\":\"function\",\"function\":{\"name\":\"%s\"}},", sent[1]);
    assert_non_null(strstr(strstr(t.out.p, "\"allowed_tools\":{"), chosen));
    assert_non_null(strstr(strstr(t.out.p, "\"allowed_tools\":{"), sent[2]));
    translating_end(&t);
}

static void wrong_names_are_named(void **state)
{
    static const struct {
        const char *tools, *param; /* param: NULL = either of two */
    } wrong[] = {
        {"{'type':'function','name':'" MCP MCP "'}", "tools[0].name"},
        {"{'type':'custom','name':'" MCP MCP "'}", "tools[0].name"},
        {"{'type':'function','name':'" MCP "'},{'type':'function','name':'" MCP " '}", "tools[1].name"},
        {"{'type':'custom','name':'f'},{'type':'custom','name':'f'}", NULL},
        {"{'type':'namespace','name':'n','tools':[{'type':'function','name':'" MCP MCP "'}]}",
         "tools[0].tools[0].name"},
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct translating t;

        begin(&t);
        snprintf(text, sizeof(text), "{'input':'x','tools':[%s]}", wrong[i].tools);
        assert_int_equal(ask(&t, text), ST_BAD_REQUEST);
        if ((wrong[i].param != NULL && strcmp(t.err.param, wrong[i].param) != 0) ||
            strcmp(t.err.code, "invalid_value") != 0)
            fail_msg("row %zu: %s at '%s'", i, t.err.code, t.err.param);
        translating_end(&t);
    }
}

static void tools_are_bounded(void **state)
{
    enum { MOST = 4096 };

    (void)state;
    for (size_t n = MOST; n <= MOST + 1; n++) {
        struct translating t;
        struct buf b;

        buf_init(&b, TRANSLATING_OUT_MAX);
        (void)buf_addc(&b, "{\"input\":\"x\",\"tools\":[");
        for (size_t i = 0; i < n; i++)
            (void)buf_addf(&b, "%s{\"type\":\"function\",\"name\":\"f%zu\"}", i > 0 ? "," : "", i);
        (void)buf_addc(&b, "]}");
        begin(&t);
        assert_int_equal(translating_request(&t, (struct slice){b.p, b.n}), n == MOST ? ST_OK : ST_BAD_REQUEST);
        assert_string_equal(t.err.param, n == MOST ? "" : "tools");
        translating_end(&t);
        buf_fini(&b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tool_has_its_own_name_in_every_turn),
        cmocka_unit_test(a_choice_names_the_right_one),
        cmocka_unit_test(wrong_names_are_named),
        cmocka_unit_test(tools_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
