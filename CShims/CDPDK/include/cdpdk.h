// The C face of DPDK for Swift: inline wrappers for what Swift cannot import.
#ifndef NEEDLETAIL_CDPDK_H
#define NEEDLETAIL_CDPDK_H
#include <rte_eal.h>
#endif
