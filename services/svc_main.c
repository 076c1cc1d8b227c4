#include <stdio.h>
#include <stdlib.h>

#include "services/process.h"
#include "services/svc.h"

int svc_main(const struct svc_def *def, int argc, char **argv)
{
    struct settings settings;
    struct err err = {.status = ST_OK};
    struct svc *svc = NULL;
    int code = SVC_EXIT_OK;

    if (!process_arguments(def->name, def->settings, argc, argv, &code))
        return code;
    if (settings_load(&settings, def->settings, getenv, &err) != ST_OK) {
        fprintf(stderr, "%s: %s\n", def->name, err.text);
        return SVC_EXIT_SETTINGS;
    }
    process_prepare();
    if (svc_start(def, &settings, &svc, &err) == ST_OK) {
        process_wait();
        svc_drain(svc, (uint64_t)settings.drain_ms);
        svc_stop(svc);
    } else {
        fprintf(stderr, "%s: %s\n", def->name, err.text);
        code = err.status == ST_BAD_REQUEST ? SVC_EXIT_SETTINGS : SVC_EXIT_START;
    }
    settings_fini(&settings);
    return code;
}
