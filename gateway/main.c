#include "services/svc.h"

int main(int argc, char **argv)
{
    return svc_main(&gateway_def, argc, argv);
}
