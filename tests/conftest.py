"""For all tests: one thread for linear algebra, set before numpy is loaded; more only wait for each other on small machines."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
