/* exchange: peers that die, restart, freeze, or send what they must not. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "services/bus/frame.h"
#include "services/clock.h"
#include "services/ids.h"
#include "tests/lib/bus_peer.h"

#define URL_SIZE 96
#define NONE ((struct slice){NULL, 0})
#define COUNTS (4u * 1024u * 1024u)
#define KILLS_DEFAULT 30 /* BUS_KILLS in the environment asks for more */

static void make_url(char url[URL_SIZE])
{
    snprintf(url, URL_SIZE, "ipc:///tmp/test_exchange_faults.%016llx", (unsigned long long)id_number());
}

/* ---- other processes
 * ---------------------------------------------------------------------------------------------------- */

/* nng does not survive fork, so a child begins anew. */
static pid_t start(const char *role, const char *url, const char *file)
{
    char program[] = "/proc/self/exe", r[16], u[URL_SIZE], f[64];
    char *argv[] = {program, r, u, f, NULL};
    pid_t pid = -1;

    snprintf(r, sizeof(r), "%s", role);
    snprintf(u, sizeof(u), "%s", url);
    snprintf(f, sizeof(f), "%s", file);
    return posix_spawn(&pid, program, NULL, NULL, argv, environ) == 0 ? pid : -1;
}

static void kill_now(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A killed server leaves its socket's name behind. */
static void forget(const char *url)
{
    unlink(url + strlen("ipc://"));
}

static _Atomic uint32_t *map_counts(const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    void *p;

    if (fd < 0 || ftruncate(fd, (off_t)(COUNTS * sizeof(uint32_t))) != 0)
        return NULL;
    p = mmap(NULL, COUNTS * sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static int be_server(const char *url, const char *file)
{
    _Atomic uint32_t *counts = *file ? map_counts(file) : NULL;
    struct bus_peer *p = bus_peer_counting(url, counts, counts ? COUNTS : 0);
    pid_t parent = getppid();

    if (!p)
        return 1;
    while (getppid() == parent)
        usleep(20000);
    return 0;
}

static int be_client(const char *url)
{
    struct xchg_client *c = bus_client(url);
    pid_t parent = getppid();
    struct bus_wait w[10];
    unsigned i;

    for (i = 0; i < 10; i++) {
        bus_wait_init(&w[i], c);
        if (bus_open(&w[i], PEER_HOLD, NONE, 60000, 0) != ST_OK)
            return 1;
    }
    while (getppid() == parent)
        usleep(20000);
    return 0;
}

/* ---- loss
 * --------------------------------------------------------------------------------------------------------------- */

struct seen {
    atomic_uint up, down;
    _Atomic uint64_t instance, boot;
};

static void see(void *ctx, uint64_t instance, uint64_t boot, bool up)
{
    struct seen *s = ctx;

    atomic_store(&s->instance, instance);
    atomic_store(&s->boot, boot);
    atomic_fetch_add(up ? &s->up : &s->down, 1);
}

#define HELD 100
#define NOTICE_NS 100000000u

/* Returns how long it took until the last of the calls had ended. */
static uint64_t kill_under_calls(struct xchg_client *c, pid_t pid)
{
    uint64_t killed, last = 0;
    struct bus_wait w[HELD];
    unsigned i;

    for (i = 0; i < HELD; i++) {
        bus_wait_init(&w[i], c);
        assert_int_equal(bus_open(&w[i], PEER_HOLD, NONE, 60000, 0), ST_OK);
    }
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK); /* the server has them all */
    killed = clock_ns();
    kill_now(pid);
    for (i = 0; i < HELD; i++) {
        assert_int_equal(bus_wait(&w[i]), ST_PEER_LOST);
        assert_true(w[i].ended_ns >= killed);
        last = w[i].ended_ns - killed > last ? w[i].ended_ns - killed : last;
        assert_int_equal(w[i].ended, 1);
        bus_wait_fini(&w[i]);
    }
    return last;
}

static void a_killed_server_is_noticed_at_once(void **state)
{
    struct seen seen = {.up = 0};
    struct xchg_client_options options = {.instance = 5, .peer = see, .ctx = &seen};
    uint64_t boot, took = UINT64_MAX;
    struct xchg_client *c;
    char url[URL_SIZE];
    unsigned round;
    pid_t pid;

    (void)state;
    make_url(url);
    pid = start("--server", url, "");
    options.url = url;
    assert_int_equal(xchg_client_new(&options, &c, NULL), ST_OK);
    assert_true(bus_ready(c, 1, 10000));
    for (round = 1; took > NOTICE_NS && round <= SLOW_TRIES; round++) {
        BUS_UNTIL(atomic_load(&seen.up) == round, 10000);
        boot = atomic_load(&seen.boot);
        took = kill_under_calls(c, pid);
        BUS_UNTIL(atomic_load(&seen.down) == round, 10000);
        assert_int_equal(atomic_load(&seen.down), round);
        assert_int_equal(xchg_client_ready(c), 0);
        pid = start("--server", url, "");
        assert_true(bus_ready(c, 1, 10000));
        BUS_UNTIL(atomic_load(&seen.up) == round + 1, 10000);
        assert_true(atomic_load(&seen.boot) != boot && atomic_load(&seen.boot) != 0);
        assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    }
    assert_in_range(took, 0, NOTICE_NS);
    xchg_client_free(c);
    kill_now(pid);
    forget(url);
}

/* Returns how long it took until the last of its calls was cancelled. */
static uint64_t kill_a_client(void)
{
    struct bus_peer *p;
    char url[URL_SIZE];
    uint64_t took;
    pid_t pid;

    make_url(url);
    p = bus_peer_new(url, 0);
    pid = start("--client", url, "");
    BUS_UNTIL(xchg_server_open_calls(p->server) == 10, 10000);
    assert_int_equal(xchg_server_open_calls(p->server), 10);
    took = clock_ns();
    kill_now(pid);
    BUS_UNTIL(atomic_load(&p->cancels) == 10, 10000);
    assert_int_equal(atomic_load(&p->cancels), 10);
    took = atomic_load(&p->cancelled_ns) - took;
    BUS_UNTIL(xchg_server_open_calls(p->server) == 0, 10000);
    assert_int_equal(xchg_server_open_calls(p->server), 0);
    bus_peer_free(p);
    return took;
}

static void a_killed_clients_calls_are_cancelled_at_once(void **state)
{
    uint64_t took = UINT64_MAX;
    unsigned tries;

    (void)state;
    for (tries = 0; took > NOTICE_NS && tries < SLOW_TRIES; tries++)
        took = kill_a_client();
    assert_in_range(took, 0, NOTICE_NS);
}

/* A process that is stopped keeps its connections: only its silence tells. Takes as long as the bus waits, so only with
 * BUS_LONG. */
static void a_frozen_peer_is_lost_in_time(void **state)
{
    const uint64_t slack = slow_ms(2500);
    char server_url[URL_SIZE], client_url[URL_SIZE];
    struct xchg_client *c;
    struct bus_peer *p;
    struct bus_wait w;
    uint64_t frozen;
    pid_t server, client;

    (void)state;
    if (!getenv("BUS_LONG"))
        skip();
    make_url(server_url);
    make_url(client_url);
    server = start("--server", server_url, "");
    p = bus_peer_new(client_url, 0);
    client = start("--client", client_url, "");
    c = bus_client(server_url);
    bus_wait_init(&w, c);
    assert_int_equal(bus_open(&w, PEER_HOLD, NONE, 120000, 0), ST_OK);
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    BUS_UNTIL(xchg_server_open_calls(p->server) == 10, 10000);
    frozen = clock_ms();
    kill(server, SIGSTOP);
    kill(client, SIGSTOP);
    assert_int_equal(bus_wait(&w), ST_PEER_LOST);
    assert_in_range(clock_ms() - frozen, 1000, XCHG_LOST_MS + slack);
    BUS_UNTIL(atomic_load(&p->cancels) == 10, XCHG_WAIT_MS + XCHG_LOST_MS + slack);
    assert_int_equal(atomic_load(&p->cancels), 10);
    assert_in_range(clock_ms() - frozen, 1000, XCHG_WAIT_MS + XCHG_LOST_MS + slack);
    kill(server, SIGCONT);
    kill(client, SIGCONT);
    assert_true(bus_ready(c, 1, 10000)); /* and it is welcome again */
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    bus_wait_fini(&w);
    xchg_client_free(c);
    kill_now(server);
    kill_now(client);
    bus_peer_free(p);
    forget(server_url);
}

/* ---- many kills
 * --------------------------------------------------------------------------------------------------------- */

#define CALLERS 16

struct storm {
    struct xchg_client *client;
    _Atomic uint32_t *counts;
    atomic_uint next, ok, lost, never, other, wrong;
    atomic_bool stop;
};

static void judge(struct storm *s, uint32_t number, enum status st)
{
    uint32_t ran = atomic_load(&s->counts[number]);

    atomic_fetch_add(st == ST_OK            ? &s->ok
                     : st == ST_PEER_LOST   ? &s->lost
                     : st == ST_UNAVAILABLE ? &s->never
                                            : &s->other,
                     1);
    if (ran > 1 || (st == ST_OK && ran != 1) || (st == ST_UNAVAILABLE && ran != 0))
        atomic_fetch_add(&s->wrong, 1);
}

static void *call_on(void *arg)
{
    struct storm *s = arg;

    while (!atomic_load(&s->stop)) {
        uint32_t number = atomic_fetch_add(&s->next, 1);

        if (number >= COUNTS)
            break;
        judge(s, number,
              bus_call(s->client, PEER_COUNT, (struct slice){(const char *)&number, sizeof(number)}, 20000, NULL));
    }
    return NULL;
}

static unsigned kills_wanted(void)
{
    const char *text = getenv("BUS_KILLS");
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;

    return n > 0 && n < 100000 ? (unsigned)n : KILLS_DEFAULT;
}

static void no_call_runs_twice_whatever_is_killed(void **state)
{
    char a[URL_SIZE], b[URL_SIZE], both[2 * URL_SIZE], file[64];
    unsigned i, kills = kills_wanted();
    pthread_t threads[CALLERS];
    struct storm s = {.next = 0};
    pid_t pids[2];
    uint32_t k;

    (void)state;
    make_url(a);
    make_url(b);
    snprintf(both, sizeof(both), "%s,%s", a, b);
    snprintf(file, sizeof(file), "/tmp/test_exchange_faults.counts.%016llx", (unsigned long long)id_number());
    s.counts = map_counts(file);
    assert_non_null(s.counts);
    pids[0] = start("--server", a, file);
    pids[1] = start("--server", b, file);
    s.client = bus_client(both);
    assert_true(bus_ready(s.client, 2, 10000));
    for (i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_on, &s), 0);
    for (i = 0; i < kills; i++) {
        usleep(10000 + (unsigned)(id_number() % 40000));
        kill_now(pids[i % 2]);
        pids[i % 2] = start("--server", i % 2 ? b : a, file);
        BUS_UNTIL(xchg_client_ready(s.client) == 2, 10000);
        assert_int_equal(xchg_client_ready(s.client), 2); /* it comes back, every time */
    }
    atomic_store(&s.stop, true);
    for (i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    for (k = 0; k < atomic_load(&s.next) && k < COUNTS; k++)
        if (atomic_load(&s.counts[k]) > 1)
            atomic_fetch_add(&s.wrong, 1);
    print_message("%u kills: %u calls answered, %u lost with a peer, %u never sent, %u otherwise\n", kills,
                  atomic_load(&s.ok), atomic_load(&s.lost), atomic_load(&s.never), atomic_load(&s.other));
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_int_equal(atomic_load(&s.other), 0);
    assert_true(atomic_load(&s.ok) > 1000);
    xchg_client_free(s.client);
    kill_now(pids[0]);
    kill_now(pids[1]);
    unlink(file);
    forget(a);
    forget(b);
}

/* ---- hostile bytes
 * ------------------------------------------------------------------------------------------------------ */

#define ANSWER_MS 20000 /* patience with who has to answer */
#define SILENCE_MS 500 /* and with who must not */

struct raw_batch {
    unsigned char bytes[256];
    size_t n;
};

static void raw_begin(struct raw_batch *r, uint32_t flags, uint32_t seq)
{
    struct frame_batch head = {.flags = flags, .seq = seq, .instance = 77, .mark = 99};

    memset(r, 0, sizeof(*r));
    frame_batch_write(r->bytes, &head);
    r->n = FRAME_BATCH_SIZE;
}

static void raw_frame(struct raw_batch *r, uint8_t kind, uint64_t call, uint32_t payload)
{
    struct frame f = {.kind = kind, .type = PEER_ECHO, .call = call, .a = 1000, .payload = {NULL, payload}};

    frame_head_write(r->bytes + r->n, &f);
    r->n += FRAME_HEAD_SIZE;
}

static int raw_exchange(nng_socket sock, const struct raw_batch *r, struct raw_batch *ret)
{
    nng_msg *msg = NULL;
    int rv;

    assert_int_equal(nng_msg_alloc(&msg, 0), 0);
    assert_int_equal(nng_msg_append(msg, r->bytes, r->n), 0);
    rv = nng_sendmsg(sock, msg, 0);
    if (rv != 0) {
        nng_msg_free(msg);
        return rv;
    }
    rv = nng_recvmsg(sock, &msg, 0);
    if (rv != 0)
        return rv;
    ret->n = nng_msg_len(msg) < sizeof(ret->bytes) ? nng_msg_len(msg) : sizeof(ret->bytes);
    memcpy(ret->bytes, nng_msg_body(msg), ret->n);
    nng_msg_free(msg);
    return 0;
}

static nng_socket raw_client(const char *url)
{
    nng_socket sock;

    assert_int_equal(nng_req0_open(&sock), 0);
    assert_int_equal(nng_socket_set_ms(sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), 0);
    assert_int_equal(nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, ANSWER_MS), 0);
    assert_int_equal(nng_socket_set_ms(sock, NNG_OPT_SENDTIMEO, ANSWER_MS), 0);
    assert_int_equal(nng_dial(sock, url, NULL, 0), 0);
    return sock;
}

static void not_answered(nng_socket sock, const struct raw_batch *r)
{
    struct raw_batch answer;

    assert_int_equal(nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, SILENCE_MS), 0);
    assert_int_equal(raw_exchange(sock, r, &answer), NNG_ETIMEDOUT);
    assert_int_equal(nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, ANSWER_MS), 0);
}

static void greet(nng_socket sock)
{
    struct raw_batch hello, answer = {.n = 0};

    raw_begin(&hello, FRAME_HELLO, 0);
    assert_int_equal(raw_exchange(sock, &hello, &answer), 0);
    assert_int_equal(answer.n, FRAME_BATCH_SIZE);
}

/* Each on a connection of its own, after a proper hello. true = it must cost the connection. */
static void spoil(struct raw_batch *r, unsigned how)
{
    raw_begin(r, 0, 1);
    raw_frame(r, FRAME_OPEN, 1, 0);
    switch (how) {
    case 0: r->n--; break; /* cut in a frame's header */
    case 1: r->bytes[0] ^= 1; break; /* not our magic */
    case 2: r->bytes[3]++; break; /* another version */
    case 3: r->bytes[4] = 0x80; break; /* an unknown flag */
    case 4: r->bytes[4] = FRAME_DRAINING; break; /* a server's flag */
    case 5: r->bytes[FRAME_BATCH_SIZE + 24] = 1; break; /* reserved */
    case 6: r->bytes[8] = 200; break; /* a sequence number from far away */
    case 7: r->bytes[FRAME_BATCH_SIZE] = 0; break; /* an unknown kind */
    case 8: r->bytes[FRAME_BATCH_SIZE] = 99; break; /* another */
    case 9: r->bytes[FRAME_BATCH_SIZE] = FRAME_END; break; /* a server's kind */
    case 10: r->bytes[FRAME_BATCH_SIZE + 4] = 1; break; /* payload beyond the end */
    case 11: memset(r->bytes + FRAME_BATCH_SIZE + 4, 0xff, 4); break;
    case 12: memset(r->bytes + FRAME_BATCH_SIZE + 8, 0, 8); break; /* call 0 */
    case 13: r->bytes[FRAME_BATCH_SIZE] = FRAME_TELL; break; /* one way, with a call */
    case 14: r->n = 7; break; /* shorter than a header */
    case 15: r->n = 0; break;
    case 16: r->bytes[FRAME_BATCH_SIZE + 1] = 1; break; /* reserved, of a frame */
    case 17:
        raw_begin(r, FRAME_HELLO, 0);
        raw_frame(r, FRAME_OPEN, 1, 0);
        break; /* a hello that says more */
    default: raw_begin(r, FRAME_HELLO, 3); break;
    }
}
#define SPOILED 19

static void malformed_batches_cost_the_connection_and_nothing_else(void **state)
{
    struct raw_batch bad, answer;
    struct xchg_stats stats;
    struct xchg_client *c;
    struct bus_peer *p;
    char url[URL_SIZE];
    unsigned how;

    (void)state;
    make_url(url);
    p = bus_peer_new(url, 0);
    c = bus_client(url);
    assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    for (how = 0; how < SPOILED; how++) {
        nng_socket sock = raw_client(url);

        greet(sock);
        spoil(&bad, how);
        assert_int_equal(raw_exchange(sock, &bad, &answer), NNG_ECONNRESET);
        nng_close(sock);
        assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_OK);
    }
    xchg_server_stats(p->server, &stats);
    assert_int_equal(stats.malformed, SPOILED);
    assert_int_equal(atomic_load(&p->handled), 1 + SPOILED); /* the good client's calls */
    xchg_client_free(c);
    bus_peer_free(p);
}

static void a_call_id_used_twice_costs_the_connection(void **state)
{
    struct raw_batch bad, answer;
    struct bus_peer *p;
    char url[URL_SIZE];
    nng_socket sock;

    (void)state;
    make_url(url);
    p = bus_peer_new(url, 0);
    sock = raw_client(url);
    greet(sock);
    raw_begin(&bad, 0, 1);
    raw_frame(&bad, FRAME_OPEN, 5, 0);
    bad.bytes[FRAME_BATCH_SIZE + 2] = PEER_HOLD;
    raw_frame(&bad, FRAME_OPEN, 5, 0);
    assert_int_equal(raw_exchange(sock, &bad, &answer), NNG_ECONNRESET);
    BUS_UNTIL(atomic_load(&p->cancels) == 1, 10000);
    assert_int_equal(atomic_load(&p->cancels), 1); /* the first one, because its client is lost */
    nng_close(sock);
    bus_peer_free(p);
}

/* What a client had handed to nng for a connection that broke may come out of the next one. */
static void a_batch_of_an_older_connection_is_not_run(void **state)
{
    struct raw_batch stale;
    struct bus_peer *p;
    char url[URL_SIZE];
    nng_socket sock;

    (void)state;
    make_url(url);
    p = bus_peer_new(url, 0);
    sock = raw_client(url);
    raw_begin(&stale, 0, 4);
    raw_frame(&stale, FRAME_OPEN, 1, 0);
    not_answered(sock, &stale);
    greet(sock);
    stale.bytes[24]++; /* another connection's mark */
    not_answered(sock, &stale);
    assert_int_equal(atomic_load(&p->handled), 0);
    nng_close(sock);
    bus_peer_free(p);
}

static void frames_about_unknown_calls_are_ignored(void **state)
{
    struct raw_batch odd, answer = {.n = 0};
    struct frame_batch head;
    struct slice frames = {NULL, 0};
    struct bus_peer *p;
    char url[URL_SIZE];
    nng_socket sock;
    struct frame f = {.kind = 0};
    size_t n = 0;

    (void)state;
    make_url(url);
    p = bus_peer_new(url, 0);
    sock = raw_client(url);
    greet(sock);
    raw_begin(&odd, 0, 1);
    raw_frame(&odd, FRAME_CANCEL, 1234, 0);
    raw_frame(&odd, FRAME_WINDOW, 1234, 0);
    raw_frame(&odd, FRAME_PUSH, 1234, 0);
    raw_frame(&odd, FRAME_OPEN, 1, 0);
    assert_int_equal(raw_exchange(sock, &odd, &answer), 0);
    assert_true(frame_check((struct slice){(const char *)answer.bytes, answer.n}, FRAME_BY_SERVER, &head, &frames, &n));
    assert_int_equal(n, 1);
    assert_true(frame_next(&frames, &f));
    assert_int_equal(f.kind, FRAME_END);
    assert_int_equal(f.call, 1);
    assert_int_equal(f.type, ST_OK);
    nng_close(sock);
    bus_peer_free(p);
}

struct liar {
    nng_socket sock;
    pthread_t thread;
    unsigned hellos;
};

/* Answers the first request of a connection properly and the next with rubbish. */
static void *lie(void *arg)
{
    struct liar *l = arg;
    nng_msg *msg;

    while (nng_recvmsg(l->sock, &msg, 0) == 0) {
        struct frame_batch head = {.seq = 0, .instance = 66, .mark = 1};
        struct frame_batch asked = {.flags = 0};
        struct slice frames;
        size_t n = 0;
        bool fine =
            frame_check((struct slice){nng_msg_body(msg), nng_msg_len(msg)}, FRAME_BY_CLIENT, &asked, &frames, &n);

        nng_msg_clear(msg);
        if (fine && (asked.flags & FRAME_HELLO)) {
            unsigned char bytes[FRAME_BATCH_SIZE];

            frame_batch_write(bytes, &head);
            (void)nng_msg_append(msg, bytes, sizeof(bytes));
            l->hellos++;
        } else if (n == 0) {
            nng_msg_free(msg); /* the empty wait stays unanswered until a call comes */
            continue;
        } else {
            (void)nng_msg_append(msg, "rubbish", 7);
        }
        if (nng_sendmsg(l->sock, msg, 0) != 0)
            nng_msg_free(msg);
    }
    return NULL;
}

static void a_server_that_answers_rubbish_is_lost(void **state)
{
    struct liar liar = {.hellos = 0};
    struct xchg_stats stats;
    struct xchg_client *c;
    char url[URL_SIZE];
    unsigned i;

    (void)state;
    make_url(url);
    assert_int_equal(nng_rep0_open(&liar.sock), 0);
    assert_int_equal(nng_listen(liar.sock, url, NULL, 0), 0);
    assert_int_equal(pthread_create(&liar.thread, NULL, lie, &liar), 0);
    c = bus_client(url);
    for (i = 0; i < 3; i++) {
        assert_true(bus_ready(c, 1, 5000));
        assert_int_equal(bus_call(c, PEER_ECHO, NONE, 5000, NULL), ST_PEER_LOST);
    }
    xchg_client_stats(c, &stats);
    assert_int_equal(stats.malformed, 3);
    xchg_client_free(c);
    nng_close(liar.sock);
    pthread_join(liar.thread, NULL);
    assert_in_range(liar.hellos, 3, 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_is_noticed_at_once),
        cmocka_unit_test(a_killed_clients_calls_are_cancelled_at_once),
        cmocka_unit_test(a_frozen_peer_is_lost_in_time),
        cmocka_unit_test(no_call_runs_twice_whatever_is_killed),
        cmocka_unit_test(malformed_batches_cost_the_connection_and_nothing_else),
        cmocka_unit_test(a_call_id_used_twice_costs_the_connection),
        cmocka_unit_test(a_batch_of_an_older_connection_is_not_run),
        cmocka_unit_test(frames_about_unknown_calls_are_ignored),
        cmocka_unit_test(a_server_that_answers_rubbish_is_lost),
    };

    if (argc == 4 && strcmp(argv[1], "--server") == 0)
        return be_server(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "--client") == 0)
        return be_client(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
