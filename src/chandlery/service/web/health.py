"""Endpoints for liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from chandlery.service.errors import problem, problem_response, refusals
from chandlery.service.readiness import Readiness

routes = APIRouter(tags=["health"])


class Health(BaseModel):
    """State of the service."""

    status: str = Field(
        examples=["ok"], description="ok, or degraded: the service works, and an exchange or a coin fails."
    )
    reasons: list[str] = Field([], description="Missing data of the exchanges, with reasons.")
    origins: dict[str, str] = Field(
        {},
        description="Origin of the data by exchange, if not the exchange itself.",
        examples=[{"binance_spot": "offline-7"}],
    )


@routes.get("/healthz", response_model_exclude_defaults=True)
async def healthz(request: Request) -> Health:
    """Report that the process is alive, and which exchanges are served from another origin."""
    return Health(status="ok", origins=request.app.state.origins)


@routes.get("/readyz", response_model=Health, responses=refusals(503))
async def readyz(request: Request) -> Response:
    """
    Report whether the service can work: the database accepts writes, and its threads and tasks run.

    The service stays ready, but degraded, while an exchange or a coin fails.
    """
    readiness: Readiness = request.app.state.readiness
    faults = readiness.faults()
    if faults:
        return problem_response(503, problem(503, "not_ready", "; ".join(faults)))
    reasons = readiness.reasons()
    return JSONResponse({"status": "degraded", "reasons": reasons} if reasons else {"status": "ok"})


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
