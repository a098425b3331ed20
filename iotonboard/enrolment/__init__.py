"""Many devices, one order each: from a list to issued, recorded and answered certificates."""
