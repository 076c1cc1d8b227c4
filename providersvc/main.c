#include "services/svc.h"

int main(int argc, char **argv)
{
    return svc_main(&providersvc_def, argc, argv);
}
