/*
 * The protocol of the bill: hold, settle, expire, over services that die and a bus that loses, doubles and reorders.
 * `make model` proves it over every interleaving, and shows of each mutant below that it would be found.
 *
 * Two calls, credit for one and a half. A call costs a unit for each token that upstream produces, two at most.
 *   Call       a gateway's view of one call
 *   Authsvc    holds in memory; its projection of the ledger follows meterd's log of revisions in order (services/bus/feed.h)
 *   Provider   the outbox on disk; after a crash it goes on with its folder, or another instance takes it over
 *   Meterd     the ledger on disk: rows, positions, balances, in one commit
 *   Adversary  crashes of any of them, FAULTS in all
 *
 * The bus is what may be read, not a channel. A record of an outbox may reach meterd late (lost, and delivered again), twice or
 * before its predecessors, so meterd may look at any record that was ever written, at any time. The state feed repairs its gaps
 * before it goes on, so authsvc's projection is always some prefix of meterd's log; `news` is what it has not seen of it.
 *
 * Every step that is not a repetition changes something for good, so there is no endless run (checked: pan -l), and "at last"
 * is when no step is left (QUIET). There no hold is open, and every call is on the bill as it should be.
 *
 * Time is in the guards. A lease outlives the call it is for and the way of its settlement through the feed; the peers of an
 * authsvc that comes back are there before its window is over. SLOW_PEER and SLOW_FEED take that away, and show what it is
 * good for: without it credit can be overspent, though never booked below zero.
 */
#define N 2
#define CREDIT 3
#define HOLD 2
#define TOKENS 2
#define SOURCES 2 /* the provider's own folder, and the one that takes it over */
#define RECORDS 4 /* of one source: each call makes progress once and ends once */
#define NEWS 4

#ifndef FAULTS
#define FAULTS 3
#endif
#define PROGRESS 0
#define FINAL 1
#define RECORD(i, kind, t) ((i) + 2 * (kind) + 4 * (t))
#define CALL_OF(r) ((r) % 2)
#define KIND_OF(r) (((r) / 2) % 2)
#define TOKENS_OF(r) ((r) / 4)

mtype = { IDLE, ADMITTED, RUNNING, OVER } /* of a call at its gateway */
mtype = { NONE, SETTLED, VOIDED, EXPIRED } /* of its row in the ledger */
mtype = { DOWN, WINDOW, READY } /* of authsvc */

/* ---- gateways: memory ---- */
mtype call[N] = IDLE;
bool voiding[N]; /* admitted, and no providersvc took it: meterd is told until it has heard */

/* ---- authsvc: memory ---- */
mtype auth = READY;
bool hold[N];
bool lapsed_void[N]; /* a hold that nobody settled: meterd is told, once */
short seen_balance = CREDIT;
byte news; /* of meterd's log, not applied yet: */
byte news_call[NEWS];
short news_balance[NEWS];
bool half_applied; /* only a mutant's */

/* ---- providersvc: disk, but for `runs` ---- */
bool provider = true;
bool runs[N];
bool started[N];
byte record[SOURCES * RECORDS];
byte last[SOURCES], acked[SOURCES];
byte source; /* into which it writes */
byte persisted[N]; /* tokens in its newest progress record */
byte final_source[N], final_seq[N]; /* 0 = it has no end yet */

/* ---- meterd: disk, but for `meterd` and `uncommitted` ---- */
bool meterd = true;
mtype row[N] = NONE;
bool ledger_hold[N];
short ledger_held[N];
byte heard[N]; /* tokens of its last progress */
short available = CREDIT, held, revenue, overage;
byte position[SOURCES];
byte uncommitted; /* only a mutant's: a record that was acknowledged before it was committed, + 1 */
byte uncommitted_source;

/* ---- what is true, known to nobody ---- */
byte produced[N]; /* by upstream */
bool finished[N]; /* providersvc itself saw the end and wrote it down */
short billed[N];
byte ends[N], corrections[N];
bool admitted[N];
bool late[N]; /* its hold ended before its usage came */

#define UNACKED(i) (started[i] && (final_seq[i] == 0 || acked[final_source[i]] < final_seq[i]))
#define IN_FLIGHT(i) (call[i] == ADMITTED || call[i] == RUNNING)
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define HELD_BY_AUTHSVC (HOLD * hold[0] + HOLD * hold[1])
#ifdef SLOW_FEED
#define FED true
#else
#define FED (news == 0)
#endif
#define OWED(j) (admitted[j] && row[j] == NONE && (started[j] || IN_FLIGHT(j)))

inline sound()
{
    assert(available + held + revenue - overage == CREDIT); /* the sum of all accounts is what was granted */
    assert(available >= 0 && held >= 0);
    assert(revenue == billed[0] + billed[1]);
    assert(ends[0] <= 1 && ends[1] <= 1 && corrections[0] <= 1 && corrections[1] <= 1);
    assert(billed[0] <= produced[0] && billed[1] <= produced[1]); /* never two bills, never more than there was */
    assert(overage == 0 || late[0] || late[1]); /* only usage that came after its hold had ended can cost the operator */
}

/* ---- meterd's step: one commit ---------------------------------------------------------------------------------- */

short cost, part;

inline log_it(i)
{
    if
    :: auth != DOWN -> /* who is down reads all of it when it comes back */
        news_call[news] = i;
        news_balance[news] = available + held;
        news++
    :: else
    fi
}

/* Of `cost`, what the available credit bears is taken from it, the rest is the operator's. */
inline take(i)
{
    part = MIN(cost, available);
    available = available - part;
    overage = overage + cost - part;
    revenue = revenue + cost;
    billed[i] = billed[i] + cost;
    cost = 0;
    part = 0;
}

/* The ledger's hold goes back to the credit first: what it bears comes out of it in the same commit. */
inline release_ledger_hold(i)
{
    available = available + ledger_held[i];
    held = held - ledger_held[i];
    heard[i] = 0;
    ledger_held[i] = 0;
    ledger_hold[i] = false;
}

inline apply_progress(i, t)
{
    if
    :: row[i] == NONE ->
        if
        :: !ledger_hold[i] ->
            ledger_hold[i] = true;
            ledger_held[i] = MIN(HOLD, available);
            available = available - ledger_held[i];
            held = held + ledger_held[i];
        :: else
        fi;
        if
        :: t > heard[i] -> heard[i] = t
        :: else
        fi
    :: else
    fi
}

inline correct(i, t)
{
    if
    :: t >= billed[i] -> cost = t - billed[i]; take(i)
    :: else -> /* the caller gets the difference back */
        available = available + billed[i] - t;
        revenue = revenue - (billed[i] - t);
        billed[i] = t
    fi;
    corrections[i]++;
    row[i] = SETTLED;
    log_it(i)
}

inline apply_final(i, t)
{
    if
    :: row[i] == NONE ->
        release_ledger_hold(i);
        cost = t;
        take(i);
        row[i] = SETTLED;
        ends[i]++;
        log_it(i)
#ifdef NO_REQUEST_DEDUP
    :: row[i] == SETTLED -> cost = t; take(i); log_it(i)
#endif
#ifdef VOID_IS_FINAL
    :: row[i] == EXPIRED -> correct(i, t)
#else
    :: row[i] == EXPIRED || row[i] == VOIDED -> correct(i, t)
#endif
    :: else
    fi
}

/* "Never started" loses against everything that says otherwise. */
inline apply_void(i)
{
    if
    :: row[i] == NONE && heard[i] == 0 ->
        release_ledger_hold(i);
        row[i] = VOIDED;
        ends[i]++;
        log_it(i)
    :: else
    fi
}

inline apply_expire(i)
{
    late[i] = true;
    cost = heard[i];
    release_ledger_hold(i);
    take(i);
    row[i] = EXPIRED;
    ends[i]++;
    log_it(i)
}

inline commit(s, seq)
{
    if
    :: KIND_OF(record[s * RECORDS + seq - 1]) == PROGRESS ->
        apply_progress(CALL_OF(record[s * RECORDS + seq - 1]), TOKENS_OF(record[s * RECORDS + seq - 1]))
    :: else -> apply_final(CALL_OF(record[s * RECORDS + seq - 1]), TOKENS_OF(record[s * RECORDS + seq - 1]))
    fi;
    position[s] = seq;
    sound()
}

/* A record arrives: in order it is applied, before its time it is a gap, after it nothing. */
inline arrive(s, seq)
{
    if
    :: seq == position[s] + 1 -> commit(s, seq)
#ifdef NO_GAP_CHECK
    :: seq > position[s] + 1 -> commit(s, seq)
#endif
    :: else
    fi
}

active proctype Meterd()
{
end:
progress: /* what is repeated is no step */
    do
#ifdef ACK_BEFORE_COMMIT
    :: d_step { meterd && uncommitted == 0 && acked[source] < last[source] ->
        acked[source]++;
        uncommitted = acked[source];
        uncommitted_source = source }
    :: d_step { meterd && uncommitted > 0 -> arrive(uncommitted_source, uncommitted); uncommitted = 0 }
#else
    :: d_step { meterd && position[source] < last[source] -> arrive(source, position[source] + 1) }
    :: d_step { meterd && acked[source] < position[source] -> acked[source] = position[source] }
#endif
    :: d_step { meterd && voiding[0] -> apply_void(0); voiding[0] = false; sound() }
    :: d_step { meterd && voiding[1] -> apply_void(1); voiding[1] = false; sound() }
    :: d_step { meterd && lapsed_void[0] -> apply_void(0); lapsed_void[0] = false; sound() }
    :: d_step { meterd && lapsed_void[1] -> apply_void(1); lapsed_void[1] = false; sound() }
    :: d_step { meterd && ledger_hold[0] && !runs[0] -> apply_expire(0); sound() }
    :: d_step { meterd && ledger_hold[1] && !runs[1] -> apply_expire(1); sound() }
    :: d_step { !meterd -> meterd = true }
    /* Of the folder that was taken over something may still be on its way. */
    :: d_step { meterd && source > 0 && position[0] < last[0] -> arrive(0, position[0] + 1) }
    /* Once more, and too early. */
    :: d_step { meterd && position[source] > 0 -> arrive(source, position[source]) }
    :: d_step { meterd && position[source] > 0 -> arrive(source, 1) }
    :: d_step { meterd && position[source] + 2 <= last[source] -> arrive(source, position[source] + 2) }
    od
}

/* ---- providersvc ------------------------------------------------------------------------------------------------- */

inline append(i, kind, t)
{
    record[source * RECORDS + last[source]] = RECORD(i, kind, t);
    last[source]++;
    if
    :: kind == FINAL ->
        final_source[i] = source;
        final_seq[i] = last[source]
    :: else
    fi
}

/* What began and did not end is settled with what is known of it. */
inline recover(i)
{
    if
#ifdef FORGETS_PROGRESS
    :: started[i] && final_seq[i] == 0 -> append(i, FINAL, 0)
#else
    :: started[i] && final_seq[i] == 0 -> append(i, FINAL, persisted[i])
#endif
    :: else
    fi
}

byte from;

/* Another instance writes what is owed into a folder of its own, under new numbers. */
inline take_over()
{
    from = acked[source];
    source++;
    do
    :: from < last[source - 1] ->
        record[source * RECORDS + last[source]] = record[(source - 1) * RECORDS + from];
        last[source]++;
        if
        :: KIND_OF(record[(source - 1) * RECORDS + from]) == FINAL ->
            final_source[CALL_OF(record[(source - 1) * RECORDS + from])] = source;
            final_seq[CALL_OF(record[(source - 1) * RECORDS + from])] = last[source]
        :: else
        fi;
        from++
    :: else -> break
    od;
    from = 0
}

#define PROVIDER_STEPS(i)                                                                                              \
    :: d_step { provider && runs[i] && produced[i] < TOKENS -> produced[i]++ }                                         \
    :: d_step { provider && runs[i] && persisted[i] == 0 && produced[i] > 0 ->                                         \
        persisted[i] = produced[i];                                                                                    \
        append(i, PROGRESS, produced[i]) }                                                                             \
    :: d_step { provider && runs[i] ->                                                                                 \
        runs[i] = false;                                                                                               \
        finished[i] = true;                                                                                            \
        append(i, FINAL, produced[i]) }

active proctype Provider()
{
end:
    do
    PROVIDER_STEPS(0)
    PROVIDER_STEPS(1)
    :: d_step { !provider -> recover(0); recover(1); provider = true }
    :: d_step { !provider && source + 1 < SOURCES -> take_over(); recover(0); recover(1); provider = true }
#ifdef TAKES_OVER_THE_LIVING
    :: d_step { provider && source + 1 < SOURCES && (runs[0] || runs[1]) ->
        take_over();
        if
        :: runs[0] -> append(0, FINAL, persisted[0]); final_seq[0] = 0
        :: else
        fi;
        if
        :: runs[1] -> append(1, FINAL, persisted[1]); final_seq[1] = 0
        :: else
        fi }
#endif
    od
}

/* ---- authsvc ----------------------------------------------------------------------------------------------------- */

inline admit(i)
{
    if
    :: seen_balance - HELD_BY_AUTHSVC >= HOLD ->
        /* the credit bears it, whatever authsvc believes, with all that is still to be paid for; usage that comes after its
         * hold has ended takes what it finds */
        assert(late[1 - i] || available + held - HOLD * OWED(1 - i) >= HOLD);
        hold[i] = true;
        admitted[i] = true;
        if
        :: call[i] = ADMITTED
        :: call[i] = OVER /* the answer is lost: the hold stays, and nothing goes upstream */
        fi
    :: else -> call[i] = OVER
    fi
}

inline assert_hold(i)
{
    if
    :: IN_FLIGHT(i) || UNACKED(i) -> hold[i] = true
    :: else
    fi
}

inline follow()
{
    hold[news_call[0]] = false;
    seen_balance = news_balance[0];
    news_call[0] = news_call[1];
    news_balance[0] = news_balance[1];
    news_call[1] = news_call[2];
    news_balance[1] = news_balance[2];
    news_call[2] = news_call[3];
    news_balance[2] = news_balance[3];
    news_call[3] = 0;
    news_balance[3] = 0;
    news--
}

/* A lease outlives its call, and whoever owes the bill of one that is over goes on asserting it. */
#define LEASE_OVER(i) (hold[i] && call[i] == OVER && !runs[i] && !(provider && UNACKED(i)) && FED)

inline lapse(i)
{
    hold[i] = false;
    lapsed_void[i] = true;
    late[i] = late[i] || (started[i] && row[i] == NONE)
}

active proctype Authsvc()
{
end:
    do
#ifdef RELEASE_BEFORE_BALANCE
    :: d_step { auth == READY && !half_applied && news > 0 ->
        hold[news_call[0]] = false;
        half_applied = true }
    :: d_step { auth == READY && half_applied -> follow(); half_applied = false }
#else
    :: d_step { auth != DOWN && news > 0 -> follow() }
#endif
#ifndef NO_LEASE
    :: d_step { auth == READY && LEASE_OVER(0) -> lapse(0) }
    :: d_step { auth == READY && LEASE_OVER(1) -> lapse(1) }
#endif
    :: d_step { auth == DOWN && meterd ->
        auth = WINDOW;
        seen_balance = available + held }
#ifdef NO_ASSERTION
    :: d_step { auth == WINDOW -> auth = READY }
#else
#ifdef SLOW_PEER
    :: d_step { auth == WINDOW && !provider ->
        hold[0] = IN_FLIGHT(0);
        hold[1] = IN_FLIGHT(1);
        auth = READY }
#endif
    /* What was acknowledged is not asserted any more, so the window ends only when the feed has brought it. */
    :: d_step { auth == WINDOW && provider && FED -> assert_hold(0); assert_hold(1); auth = READY }
#endif
    od
}

/* ---- gateways ---------------------------------------------------------------------------------------------------- */

proctype Call(byte i)
{
end:
    do
    :: atomic { call[i] == IDLE && auth == READY && (i == 0 || call[0] != IDLE) -> admit(i) } /* the calls are alike */
    :: d_step { call[i] == IDLE && auth != READY -> call[i] = OVER } /* it did not come back in time: 503 */
    :: d_step { call[i] == ADMITTED && provider ->
        started[i] = true;
        runs[i] = true;
        call[i] = RUNNING }
    :: d_step { call[i] == ADMITTED && !provider -> voiding[i] = true; call[i] = OVER } /* nobody took it */
    :: d_step { call[i] == RUNNING && !runs[i] ->
#ifdef VOID_ON_LOSS
        voiding[i] = !finished[i];
#endif
        call[i] = OVER }
    od
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

inline crash_authsvc()
{
    auth = DOWN;
    hold[0] = false;
    hold[1] = false;
    lapsed_void[0] = false;
    lapsed_void[1] = false;
    half_applied = false;
    seen_balance = 0;
    news = 0;
    news_call[0] = 0;
    news_call[1] = 0;
    news_call[2] = 0;
    news_call[3] = 0;
    news_balance[0] = 0;
    news_balance[1] = 0;
    news_balance[2] = 0;
    news_balance[3] = 0
}

/* Its calls are cut off: providersvc hears of it and ends them, with what they cost so far. */
inline crash_gateway(i)
{
    call[i] = OVER;
    voiding[i] = false
}

active proctype Adversary()
{
    byte faults = FAULTS;

end:
    do
    :: d_step { faults > 0 && auth != DOWN -> faults--; crash_authsvc() }
    :: d_step { faults > 0 && provider -> faults--; provider = false; runs[0] = false; runs[1] = false }
    :: d_step { faults > 0 && meterd -> faults--; meterd = false; uncommitted = 0 }
    :: d_step { faults > 0 && (IN_FLIGHT(0) || voiding[0]) -> faults--; crash_gateway(0) }
    :: d_step { faults > 0 && (IN_FLIGHT(1) || voiding[1]) -> faults--; crash_gateway(1) }
    od
}

/* ---- at last ----------------------------------------------------------------------------------------------------- */

#ifdef NO_LEASE
#define LAPSES(i) false
#else
#define LAPSES(i) LEASE_OVER(i)
#endif
#define REST(i) (call[i] == OVER && !runs[i] && !voiding[i] && !lapsed_void[i] && !(meterd && ledger_hold[i]) && !LAPSES(i))
#define DELIVERED (position[source] == last[source] && acked[source] == last[source] && (source == 0 || position[0] == last[0]))
#ifdef ACK_BEFORE_COMMIT /* what was acknowledged is not delivered again */
#define AT_REST (acked[source] == last[source] && uncommitted == 0)
#else
#define AT_REST DELIVERED
#endif
#define QUIET (meterd && provider && auth == READY && FED && news == 0 && AT_REST && REST(0) && REST(1))

inline judge(i)
{
    assert(!hold[i] && !ledger_hold[i]); /* every hold ends */
    assert(!started[i] || row[i] == SETTLED); /* what went upstream has its end in the ledger */
    assert(!finished[i] || billed[i] == produced[i]); /* to the token, when its end was seen */
    assert(!started[i] || billed[i] >= persisted[i]); /* else no less than was known */
    assert(started[i] || billed[i] == 0)
}

active proctype Monitor()
{
end:
progress:
    do
    :: d_step { QUIET -> judge(0); judge(1); sound() }
    od
}

init
{
    atomic {
        run Call(0);
        run Call(1)
    }
}
