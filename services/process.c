#include "services/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "services/svc.h"
#include "services/version.h"

#define MALLOC_ARENAS 4
#define DESCRIPTORS_MAX 65536u /* for so many the kernel's table is made at once: half a megabyte */
#define MALLOC_TRIM_BYTES (16 * 1024 * 1024) /* given back to the system above this, not batch by batch */

bool process_arguments(const char *program, unsigned services, int argc, char **argv, int *ret_code)
{
    *ret_code = SVC_EXIT_OK;
    if (argc == 1)
        return true;
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        settings_help(stdout, program, services);
        return false;
    }
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        fprintf(stdout, "%s %s\n", program, ROUTER_VERSION);
        return false;
    }
    fprintf(stderr, "%s: unknown argument '%s'; settings come from the environment, see --help\n", program, argv[1]);
    *ret_code = SVC_EXIT_SETTINGS;
    return false;
}

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

/* The kernel doubles a process' table of descriptors at 64, 128, 256 … of them, and with threads it waits for an RCU
 * grace period each time (fs/file.c, expand_fdtable): 15 ms in which every accept and connect stands still. A table
 * never shrinks, so one high descriptor before the first thread settles it. */
static void make_room_for_descriptors(void)
{
    struct rlimit limit;
    rlim_t highest = DESCRIPTORS_MAX;
    int fd;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max < highest)
        highest = limit.rlim_max;
    if (limit.rlim_cur < highest) {
        limit.rlim_cur = highest;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* within what we may have; if not, the next call says so */
    }
    fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)highest - 1);
    if (fd >= 0)
        close(fd);
}

void process_prepare(void)
{
    sigset_t set;

    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    make_room_for_descriptors();
    prctl(PR_SET_DUMPABLE, 0);
    mallopt(M_ARENA_MAX, MALLOC_ARENAS);
    mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES);
    randombytes_set_implementation(&randombytes_internal_implementation); /* no system call for each request id */
}

void process_wait(void)
{
    sigset_t set;
    int number;

    stop_signals(&set);
    sigwait(&set, &number);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
