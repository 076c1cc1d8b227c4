#include "services/svc.h"

int main(int argc, char **argv)
{
    return svc_main(&authsvc_def, argc, argv);
}
