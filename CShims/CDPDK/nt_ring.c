#include "nt_ring.h"

int nt_ring_spsc_init(void *memory, const char *name, unsigned count)
{
	return rte_ring_init(memory, name, count, RING_F_SP_ENQ | RING_F_SC_DEQ);
}
