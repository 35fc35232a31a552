"""`python -m workloads train|serve`: runs a replica and ends its process at once."""

from __future__ import annotations

import os
import sys

from workloads.main import main

code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # everything is on storage or reported: tearing down torch would only cost time
