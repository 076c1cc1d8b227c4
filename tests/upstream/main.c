/* fake-upstream: an OpenAI-compatible upstream that does what the prompt tells it. See README.md.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LAST_MAX ((size_t)64 * 1024 * 1024 + 65536)

struct options {
    long port;
    const char *bind;
    const char *journal;
};

static const char usage[] = "usage: fake-upstream [options]\n"
                            "  --port N         port; 0 = any free one (default). Prints `listening PORT`.\n"
                            "  --bind ADDRESS   loopback address to listen on (127.0.0.1)\n"
                            "  --journal FILE   one line per finished request is appended there\n"
                            "  --api-key KEY    other keys are answered 401\n"
                            "  --tokens N       content tokens of an answer (16)\n"
                            "  --delay-ms N     between the chunks of a stream (0)\n"
                            "  --first-ms N     before the first byte of an answer (0)\n"
                            "  --idle-ms N      close connections idle for so long (0 = never)\n"
                            "  --directives     list the words of a [[…]] block and leave\n";

static bool parse_number(const char *text, long most, int64_t *ret)
{
    char *end = NULL;
    long v;

    errno = 0;
    v = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end || v < 0 || v > most) {
        fprintf(stderr, "fake-upstream: '%s' is not a number from 0 to %ld\n", text, most);
        return false;
    }
    *ret = v;
    return true;
}

/* Returns -1 to go on, else the exit code. */
static int take_option(int option, struct server *s, struct options *o)
{
    int64_t n = 0;
    bool ok = true;

    switch (option) {
    case 'p':
        ok = parse_number(optarg, 65535, &n);
        o->port = (long)n;
        break;
    case 'b': o->bind = optarg; break;
    case 'j': o->journal = optarg; break;
    case 'k': s->api_key = optarg; break;
    case 't': ok = parse_number(optarg, 10000000, &s->defaults.tokens); break;
    case 'd': ok = parse_number(optarg, 3600000, &s->defaults.delay_ms); break;
    case 'f': ok = parse_number(optarg, 86400000, &s->defaults.first_ms); break;
    case 'i':
        ok = parse_number(optarg, 86400000, &n);
        s->idle_ms = (uint64_t)n;
        break;
    case 'l': plan_print(); return 0;
    case 'h': fputs(usage, stdout); return 0;
    default: fputs(usage, stderr); return 2;
    }
    return ok ? -1 : 2;
}

static int read_options(int argc, char **argv, struct server *s, struct options *o)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},
        {"bind", required_argument, NULL, 'b'},
        {"journal", required_argument, NULL, 'j'},
        {"api-key", required_argument, NULL, 'k'},
        {"tokens", required_argument, NULL, 't'},
        {"delay-ms", required_argument, NULL, 'd'},
        {"first-ms", required_argument, NULL, 'f'},
        {"idle-ms", required_argument, NULL, 'i'},
        {"directives", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    int code = -1;

    while (code < 0 && (option = getopt_long(argc, argv, "", names, NULL)) != -1)
        code = take_option(option, s, o);
    if (code < 0 && optind < argc) {
        fputs(usage, stderr);
        return 2;
    }
    return code;
}

static bool open_listener(struct server *s, const struct options *o)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    socklen_t n = sizeof(a);
    int on = 1;

    if (inet_pton(AF_INET, o->bind, &a.sin_addr) != 1 || ntohl(a.sin_addr.s_addr) >> 24 != 127) {
        fprintf(stderr, "fake-upstream: %s is not a loopback address\n", o->bind);
        return false;
    }
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0) {
        perror("fake-upstream: socket");
        return false;
    }
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s->listener, 4096) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &n) != 0) {
        perror("fake-upstream: listen");
        return false;
    }
    printf("listening %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return true;
}

static bool watch(struct server *s, int *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = fd}};

    return *fd >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, *fd, &ev) == 0;
}

static bool open_all(struct server *s, const struct options *o)
{
    struct rlimit files;
    sigset_t stop;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    if (o->journal) {
        s->journal = open(o->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (s->journal < 0) {
            perror(o->journal);
            return false;
        }
    }
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->signals = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->epoll < 0 || !watch(s, &s->signals)) {
        perror("fake-upstream");
        return false;
    }
    return open_listener(s, o) && watch(s, &s->listener);
}

static void close_all(struct server *s)
{
    int fds[] = {s->epoll, s->listener, s->signals, s->journal, s->spare};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    timers_fini(&s->timers);
    buf_fini(&s->last_head);
    buf_fini(&s->last_body);
    free(s);
}

int main(int argc, char **argv)
{
    struct options o = {.bind = "127.0.0.1"};
    struct server *s = calloc(1, sizeof(*s));
    int code;

    if (!s)
        return 1;
    s->epoll = s->listener = s->signals = s->journal = s->spare = -1;
    buf_init(&s->last_head, LAST_MAX);
    buf_init(&s->last_body, LAST_MAX);
    plan_init(&s->defaults);
    s->defaults.tokens = 16;
    code = read_options(argc, argv, s, &o);
    if (code < 0)
        code = open_all(s, &o) ? server_run(s) : 1;
    close_all(s);
    return code;
}
