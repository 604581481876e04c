"""Measure an exchange, and compare it with what its adapter declares."""

from chandlery.probe.findings import Finding, Verdict
from chandlery.probe.run import Options, Probed, probe

__all__ = ["Finding", "Options", "Probed", "Verdict", "probe"]
