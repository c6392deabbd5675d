"""What every test may use."""

import os

# Before anything imports Albumentations: at import it would ask the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
