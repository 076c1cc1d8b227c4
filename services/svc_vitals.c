/* What every service says of its process and of whom it reaches: looked at when its metrics are asked for. Services
 * that share a process, as in the launcher, all say that process's figures. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "services/clock.h"
#include "services/svc_private.h"
#include "services/version.h"

static const char *const peer_names[] = {"authsvc", "providersvc", "meterd"};

void vitals_make(struct svc *svc)
{
    struct vitals *v = &svc->vitals;
    struct metrics *m = svc->metrics;
    char labels[METRIC_LABELS_MAX];

    metric_set(metric_gauge(m, "router_build_info", "1; the version is a label.", "version=\"" ROUTER_VERSION "\""), 1);
    metric_set(metric_gauge(m, "router_start_time_seconds", "When the service started, Unix time.", NULL),
               (int64_t)(clock_wall_ms() / 1000));
    v->ready = metric_gauge(m, "router_ready", "1 while the service is ready.", NULL);
    v->resident = metric_gauge(m, "router_process_resident_bytes", "Memory of the process that is in RAM.", NULL);
    v->files = metric_gauge(m, "router_process_open_fds", "Open file descriptors of the process.", NULL);
    v->files_max = metric_gauge(m, "router_process_max_fds", "How many it may have.", NULL);
    v->cpu = metric_counter(m, "router_process_cpu_milliseconds_total", "CPU time of the process.", NULL);
    if (svc->def->follow)
        v->revision = metric_gauge(m, "router_state_revision", "Revision of the state that the service knows.", NULL);
    for (unsigned p = 0; p < SVC_PEERS; p++) {
        if (!(svc->def->peers & (1u << p)))
            continue;
        snprintf(labels, sizeof(labels), "peer=\"%s\"", peer_names[p]);
        v->peers[p] = metric_gauge(m, "router_peer_instances", "Instances of a peer that take calls.", labels);
    }
}

uint64_t vitals_resident_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int64_t open_files(void)
{
    const struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");
    int64_t n = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n - 1; /* without the folder itself */
}

static int64_t cpu_ms(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void look(struct svc *svc)
{
    struct vitals *v = &svc->vitals;
    struct rlimit limit;

    metric_set(v->ready, svc_ready(svc));
    metric_set(v->resident, (int64_t)vitals_resident_bytes());
    metric_set(v->files, open_files());
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(v->files_max, (int64_t)limit.rlim_cur);
    metric_set(v->cpu, cpu_ms());
    metric_set(v->revision, (int64_t)svc_revision(svc));
    for (unsigned p = 0; p < SVC_PEERS; p++)
        if (svc->peers[p])
            metric_set(v->peers[p], xchg_client_ready(svc->peers[p]));
}

enum status svc_metrics_text(struct svc *svc, struct buf *out)
{
    look(svc);
    if (svc->def->gauges && atomic_load(&svc->started))
        svc->def->gauges(svc);
    return metrics_render(svc->metrics, out);
}
