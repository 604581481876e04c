"""Probe that measures an exchange, and compares it with its adapter's declarations."""

from chandlery.probe.findings import Finding, Verdict
from chandlery.probe.run import Options, Probed, probe

__all__ = ["Finding", "Options", "Probed", "Verdict", "probe"]
