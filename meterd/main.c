#include <string.h>

#include "meterd/restore.h"
#include "services/svc.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--restore") == 0)
        return restore_main(argc, argv);
    return svc_main(&meterd_def, argc, argv);
}
