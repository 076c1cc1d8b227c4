/*
 * sightings: what a service sees of an attack (proto/security.h), counted by kind, subject and client, and told to
 * meterd once a second at most. Built for the worst of clients:
 * - sightings_note() runs on a request's way, of bad requests only. It never waits: it takes the lock if that is free,
 *   else the sighting is counted without its subject. No memory, no bus, no log.
 * - A kind has SIGHTINGS_ROWS rows. What finds none free is counted without its subject and client (SECURITY_OTHERS),
 *   so a million addresses take what there is for one kind, and cost the other kinds nothing.
 * - A batch is sent until meterd has answered, with the number that it got at first: meterd counts each number once
 *   (meterd/security.h). While meterd is gone the rows wait, and their counts grow.
 * What is in the table when the process dies is lost; a drain sends it first.
 */
#ifndef SERVICES_SIGHTINGS_H
#define SERVICES_SIGHTINGS_H

#include "proto/security.h"
#include "services/svc.h"

#define SIGHTINGS_ROWS 64 /* of one kind, between two batches */
#define SIGHTINGS_SEND_MS 1000 /* between two batches, and before one is sent again */
#define SIGHTINGS_CALL_MS 3000
#define SIGHTINGS_GUESSES 10 /* different unknown keys from one client, within … */
#define SIGHTINGS_GUESSES_MS 60000 /* … this time: guessing. Fewer are somebody's mistake, and forgotten. */

struct sightings;

struct sighting {
    enum security_kind kind;
    struct slice subject; /* at most LIMIT_EMAIL bytes of it are kept; no secret */
    struct slice address; /* of the client: of IPv6 the /64 is kept */
    uint64_t what; /* not 0: does not count again when it is what this row saw last (the same key, tried again) */
};

enum status sightings_new(struct svc *svc, struct sightings **ret, struct err *err);
void sightings_free(struct sightings *s); /* NULL is fine; waits for a batch that is on its way */
void sightings_note(struct sightings *s, const struct sighting *seen); /* any thread; s = NULL is fine */
void sightings_tick(struct sightings *s); /* sends what is due; call it once a second or more often */
void sightings_flush(struct sightings *s, uint64_t ms); /* sends what there is; waits for its end so long at most */

#endif
