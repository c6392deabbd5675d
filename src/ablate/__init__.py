"""ablate: does this change to my training help?"""

import os

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else importing Albumentations asks the package index for its version

__version__ = "0.1.0"
