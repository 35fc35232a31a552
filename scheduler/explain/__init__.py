"""Why a gang waits and what would let it start: on demand, for one gang."""
