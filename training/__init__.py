"""The training loop, the options of a run, and run directories."""

__version__ = "0.2.0"
