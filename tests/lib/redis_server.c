#include "tests/lib/redis_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/clock.h"
#include "tests/lib/slow.h"

#define PROGRAM "redis-server"
#define START_MS 10000
#define LOOK_US 2000
#define PORT_TRIES 1000
#define BUS_PORT 10000 /* so far above a server's port is that of its cluster's bus */
#define DIR_TEMPLATE "/tmp/redis-server.XXXXXX"

/* Takes the port (0: any) for a moment; returns which, or 0. */
static int try_port(int port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0;

    if (fd >= 0)
        close(fd);
    return ok ? ntohs(at.sin_port) : 0;
}

/* One that a server of a cluster takes, too: it needs the port of its bus besides. */
static int free_port(void)
{
    int i;

    for (i = 0; i < PORT_TRIES; i++) {
        int port = try_port(0);

        if (port != 0 && port + BUS_PORT <= UINT16_MAX && try_port(port + BUS_PORT) != 0)
            return port;
    }
    fail_msg("no free port");
    return 0;
}

/* Does it listen? Its socket is made after its port. */
static bool answers(const struct redis_server *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes;

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", s->socket);
    yes = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static void run(struct redis_server *s)
{
    char port[12];
    const char *argv[32] = {PROGRAM,   "--port",       port, "--bind",    "127.0.0.1", "--unixsocket",
                            s->socket, "--save",       "",   "--dir",     s->dir,      "--loglevel",
                            "warning", "--appendonly", "no", "--logfile", "server.log"};
    size_t n = 17, i;
    pid_t parent = getpid();

    snprintf(port, sizeof(port), "%d", s->port);
    for (i = 0; s->more[i]; i++)
        argv[n++] = s->more[i];
    unlink(s->socket);
    s->pid = fork();
    if (s->pid < 0)
        fail_msg("no process for " PROGRAM);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
        if (getppid() == parent)
            execvp(PROGRAM, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

static void go(struct redis_server *s)
{
    uint64_t due_ms = clock_ms() + slow_ms(START_MS);
    int status = 0;

    run(s);
    while (!answers(s)) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            fail_msg(PROGRAM " ended with %d: is Debian's package redis-server installed (deploy/deps.sh test)?",
                     WEXITSTATUS(status));
        }
        if (clock_ms() > due_ms)
            fail_msg(PROGRAM " does not answer");
        usleep(LOOK_US);
    }
}

void redis_server_start(struct redis_server *s, bool tcp, const char *const *more)
{
    size_t i;

    *s = (struct redis_server){.port = tcp ? free_port() : 0, .dir = DIR_TEMPLATE};
    for (i = 0; more && more[i]; i++) {
        assert_true(i + 1 < REDIS_SERVER_ARGS_MAX - 1);
        s->more[i] = more[i];
    }
    if (!mkdtemp(s->dir))
        fail_msg("no folder for " PROGRAM);
    snprintf(s->socket, sizeof(s->socket), "%s/socket", s->dir);
    if (tcp)
        snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%d", s->port);
    else
        snprintf(s->url, sizeof(s->url), "unix://%s", s->socket);
    go(s);
}

void redis_server_kill(struct redis_server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void redis_server_restart(struct redis_server *s)
{
    redis_server_kill(s);
    go(s);
}

void redis_server_stop(struct redis_server *s)
{
    kill(s->pid, SIGSTOP);
}

void redis_server_cont(struct redis_server *s)
{
    kill(s->pid, SIGCONT);
}

void redis_server_free(struct redis_server *s)
{
    char path[64];

    redis_server_kill(s);
    if (!s->dir[0])
        return;
    snprintf(path, sizeof(path), "%s/server.log", s->dir);
    unlink(path);
    unlink(s->socket);
    rmdir(s->dir);
    s->dir[0] = '\0';
}
