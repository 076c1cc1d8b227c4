/* New passwords: from the terminal, which does not show them, or the first line of standard input, so that they are in
 * no shell's history and in no list of processes. */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sodium.h>

#include "cli/request.h"
#include "cli/special.h"
#include "proto/limits.h"

#define LINE_SIZE (LIMIT_PASSWORD + 2) /* with its line end, and a NUL */

static enum status read_line(char line[LINE_SIZE], struct err *err)
{
    size_t n;

    if (!fgets(line, LINE_SIZE, stdin))
        return err_set(err, ST_BAD_REQUEST, "standard input holds no password");
    n = strcspn(line, "\r\n");
    if (line[n] == '\0' && n > LIMIT_PASSWORD)
        return err_set(err, ST_BAD_REQUEST, "a password has at most %d bytes", LIMIT_PASSWORD);
    line[n] = '\0';
    return n > 0 ? ST_OK : err_set(err, ST_BAD_REQUEST, "the password is empty");
}

static enum status ask(const char *question, char line[LINE_SIZE], struct err *err)
{
    struct termios shown, hidden;
    enum status st;

    if (tcgetattr(STDIN_FILENO, &shown) != 0)
        return read_line(line, err);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden); /* before the question: whoever answers at once is not flushed */
    fprintf(stderr, "%s: ", question);
    st = read_line(line, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    return st;
}

/* Nobody sees what is typed at a terminal, so there it is asked for twice. */
static enum status read_password(char to[LINE_SIZE], struct err *err)
{
    char again[LINE_SIZE];
    enum status st = ask("new password", to, err);

    if (st != ST_OK || !isatty(STDIN_FILENO))
        return st;
    st = ask("the same again", again, err);
    if (st == ST_OK && strcmp(to, again) != 0)
        st = err_set(err, ST_BAD_REQUEST, "the two are not the same; nothing was changed");
    sodium_memzero(again, sizeof(again));
    return st;
}

/* The command's request with these members, which its command line has not. */
static enum status send_with(struct http *h, const struct args *a, const struct word *members,
                             const char *const *values, size_t n, struct err *err)
{
    struct command filled = *a->command;
    struct args with = *a;
    struct http_reply reply;
    enum status st;
    size_t i;

    for (i = 0; i < n; i++) {
        filled.options[i] = members[i];
        with.options[i] = values[i];
    }
    with.command = &filled;
    st = request_send(h, &with, &reply, err);
    if (st == ST_OK)
        http_reply_fini(&reply);
    return st;
}

int special_user_password(struct http *h, const struct command *c, const struct args *a)
{
    static const struct word member = {"password", WORD_STRING, NULL};
    char password[LINE_SIZE];
    const char *value = password;
    struct err err = {.status = ST_OK};
    enum status st = read_password(password, &err);

    (void)c;
    if (st == ST_OK)
        st = send_with(h, a, &member, &value, 1, &err);
    sodium_memzero(password, sizeof(password));
    return st == ST_OK ? CLI_OK : cli_fail(&err);
}

int special_password(struct http *h, const struct command *c, const struct args *a)
{
    static const struct word members[] = {{"current_password", WORD_STRING, NULL}, {"new_password", WORD_STRING, NULL}};
    char current[LINE_SIZE], wanted[LINE_SIZE];
    const char *values[] = {current, wanted};
    struct err err = {.status = ST_OK};
    enum status st = http_password(h->settings, current, sizeof(current), &err);

    (void)c;
    if (st == ST_OK)
        st = read_password(wanted, &err);
    if (st == ST_OK)
        st = send_with(h, a, members, values, 2, &err);
    if (st == ST_OK)
        st = http_password_changed(h->settings, wanted, &err);
    sodium_memzero(current, sizeof(current));
    sodium_memzero(wanted, sizeof(wanted));
    if (st != ST_OK)
        return cli_fail(&err);
    if (h->settings->admin_password)
        fputs("changed; ADMIN_PASSWORD, by which routerctl signs in, is the old one: set it to the new one\n", stderr);
    return CLI_OK;
}
