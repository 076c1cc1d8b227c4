/*
 * What a program of ours does around its services: arguments, signals, exit codes. Used by svc_main and by the
 * launcher.
 */
#ifndef SERVICES_PROCESS_H
#define SERVICES_PROCESS_H

#include <stdbool.h>

#include "services/settings.h"

/* Handles --help and --version and refuses other arguments. true = go on; false = leave with *ret_code. */
bool process_arguments(const char *program, unsigned services, int argc, char **argv, int *ret_code);

/* Before the first thread: SIGTERM and SIGINT are blocked for process_wait, SIGPIPE is ignored, core dumps (they would
 * hold keys) are off, malloc keeps few arenas (there are thousands of small threads), libsodium generates random bytes
 * in the process, the table of descriptors has its final size. */
void process_prepare(void);

/* Waits for SIGTERM or SIGINT. Afterwards a second one ends the process at once. */
void process_wait(void);

#endif
