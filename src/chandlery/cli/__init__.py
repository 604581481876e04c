"""Command line: ``chandlery fetch``, ``chandlery cache``, ``chandlery sim``."""

from chandlery.cli.app import main as main
