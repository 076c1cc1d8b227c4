/* The version that --version, health reports and the User-Agent show. */
#ifndef SERVICES_VERSION_H
#define SERVICES_VERSION_H

#define ROUTER_VERSION "0.1.0"

#endif
