/*
 * openai-router: all four services in one process, over inproc://. The embedded default: no key, no Docker, no Redis.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/ids.h"
#include "services/process.h"
#include "services/svc.h"

#define PROGRAM "openai-router"
#define SECRET_BYTES 24 /* 48 hex digits, more than the 32 characters that JWT_SECRET and MASTER_KEY ask for */
#define PATH_SIZE 4096

/* State first, then who follows it, then who takes calls from outside; the other way round to stop. */
static const struct svc_def *const order[] = {&meterd_def, &authsvc_def, &providersvc_def, &gateway_def};
#define SERVICES_N (sizeof(order) / sizeof(order[0]))

static enum status use_inproc(struct settings *s)
{
    if (settings_set(&s->authsvc_url, "inproc://authsvc") != ST_OK ||
        settings_set(&s->providersvc_url, "inproc://providersvc") != ST_OK ||
        settings_set(&s->meterd_url, "inproc://meterd") != ST_OK ||
        settings_set(&s->meterd_feed_url, "inproc://meterd-feed") != ST_OK)
        return ST_NO_MEMORY;
    return settings_set(&s->meterd_events_url, "inproc://meterd-events");
}

/* Makes every folder above the file. */
static enum status make_folders(const char *file, struct err *err)
{
    char path[PATH_SIZE];
    char *slash;

    if (!slice_copy(slice_of(file), path, sizeof(path)))
        return err_set(err, ST_BAD_REQUEST, "DB_PATH: too long");
    for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) && errno != EEXIST)
            return err_set(err, ST_INTERNAL, "DB_PATH: cannot make the folder %s: %s", path, strerror(errno));
        *slash = '/';
    }
    return ST_OK;
}

static enum status secret_path(const struct settings *s, const char *file, char *path, size_t size, struct err *err)
{
    const char *slash = strrchr(s->db_path, '/');
    int dir = slash ? (int)(slash - s->db_path) + 1 : 0;
    int n = snprintf(path, size, "%.*s%s", dir, s->db_path, file);

    if (n < 0 || (size_t)n >= size)
        return err_set(err, ST_BAD_REQUEST, "DB_PATH: too long");
    return ST_OK;
}

/* Writes aside and links, so that another launcher starting now sees a whole secret or none. */
static enum status write_secret(const char *path, struct err *err)
{
    char secret[ID_TEXT_SIZE], aside[PATH_SIZE + 16];
    size_t n;
    int fd, bad;

    id_make(secret, "", SECRET_BYTES);
    n = strlen(secret);
    snprintf(aside, sizeof(aside), "%s.%ld", path, (long)getpid());
    fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ST_INTERNAL, "cannot write %s: %s", aside, strerror(errno));
    bad = write(fd, secret, n) != (ssize_t)n || fsync(fd);
    bad |= close(fd);
    if (!bad)
        bad = link(aside, path) && errno != EEXIST;
    unlink(aside);
    return bad ? err_set(err, ST_INTERNAL, "cannot write %s: %s", path, strerror(errno)) : ST_OK;
}

/* A secret of the installation: made once and kept beside the database. */
struct kept_secret {
    const char *setting, *file;
};

static enum status keep_secret(struct settings *s, const struct kept_secret *secret, char **member, struct err *err)
{
    char path[PATH_SIZE], text[1025];
    enum status st;
    ssize_t n;
    int fd;

    if (*member)
        return ST_OK;
    st = make_folders(s->db_path, err);
    if (st == ST_OK)
        st = secret_path(s, secret->file, path, sizeof(path), err);
    if (st == ST_OK && access(path, F_OK))
        st = write_secret(path, err);
    if (st != ST_OK)
        return st;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n < 32)
        return err_set(err, ST_INTERNAL, "%s: cannot be read or is too short; set %s or remove the file", path,
                       secret->setting);
    text[n] = '\0';
    return settings_set(member, text);
}

/* So that a restart ends nobody's session, and opens the upstream keys that are stored. */
static enum status keep_secrets(struct settings *s, struct err *err)
{
    static const struct kept_secret jwt = {"JWT_SECRET", "jwt_secret"}, master = {"MASTER_KEY", "master_key"};
    enum status st = keep_secret(s, &jwt, &s->jwt_secret, err);

    return st == ST_OK ? keep_secret(s, &master, &s->master_key, err) : st;
}

static enum status start_all(const struct settings *s, struct svc **running, struct err *err)
{
    enum status st = ST_OK;
    size_t i;

    for (i = 0; i < SERVICES_N && st == ST_OK; i++)
        st = svc_start(order[i], s, &running[i], err);
    return st;
}

static void stop_all(struct svc **running)
{
    size_t i;

    for (i = SERVICES_N; i-- > 0;)
        svc_stop(running[i]);
}

int main(int argc, char **argv)
{
    struct svc *running[SERVICES_N] = {NULL};
    struct err err = {.status = ST_OK};
    struct settings s;
    int code = SVC_EXIT_OK;

    if (!process_arguments(PROGRAM, SET_L, argc, argv, &code))
        return code;
    if (settings_load(&s, SET_L, getenv, &err) != ST_OK) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
        return SVC_EXIT_SETTINGS;
    }
    process_prepare();
    if (use_inproc(&s) != ST_OK || keep_secrets(&s, &err) != ST_OK || start_all(&s, running, &err) != ST_OK) {
        fprintf(stderr, PROGRAM ": %s\n", err.text);
        code = err.status == ST_BAD_REQUEST ? SVC_EXIT_SETTINGS : SVC_EXIT_START;
    } else {
        size_t i;

        process_wait();
        for (i = SERVICES_N; i-- > 0;)
            svc_drain(running[i], (uint64_t)s.drain_ms);
    }
    stop_all(running);
    settings_fini(&s);
    return code;
}
