"""ablate: does this change to my training help?"""

__version__ = "0.1.0"
