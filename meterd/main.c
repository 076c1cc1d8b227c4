#include "services/svc.h"

int main(int argc, char **argv)
{
    return svc_main(&meterd_def, argc, argv);
}
