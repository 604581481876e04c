"""Offline exchange that speaks the exchanges' wire formats, with faults on demand."""

from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.market import Market, SyntheticMarket
from chandlery.sim.recorded import RecordedMarket
from chandlery.sim.server import SimServer, running, wall_clock
from chandlery.sim.unlike import Unlike

__all__ = [
    "Fault",
    "FaultKind",
    "Market",
    "RecordedMarket",
    "SimServer",
    "SyntheticMarket",
    "Unlike",
    "running",
    "wall_clock",
]
