"""What every test may use."""

import os

# Before anything imports Albumentations: at import it would ask the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
# The networks of the tests are small: one thread is as fast as two, and many times faster while others use the cores.
os.environ["OMP_NUM_THREADS"] = "1"
