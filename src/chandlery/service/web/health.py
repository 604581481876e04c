"""Whether the service is alive, ready, and how it is doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from chandlery.service.errors import problem, problem_response, refusals
from chandlery.service.readiness import Readiness

routes = APIRouter(tags=["health"])


class Health(BaseModel):
    """How it is."""

    status: str = Field(
        examples=["ok"], description="ok, or degraded: the service works, and an exchange or a coin fails."
    )
    reasons: list[str] = Field([], description="What of the exchanges' data does not come, and why.")
    origins: dict[str, str] = Field(
        {},
        description="Whose data are served in place of an exchange's own, by exchange.",
        examples=[{"binance_spot": "offline-7"}],
    )


@routes.get("/healthz", response_model_exclude_defaults=True)
async def healthz(request: Request) -> Health:
    """Whether the process answers, and whether with data of others than the exchanges."""
    return Health(status="ok", origins=request.app.state.origins)


@routes.get("/readyz", response_model=Health, responses=refusals(503))
async def readyz(request: Request) -> Response:
    """
    Say if it can work: the database takes what is collected, and its threads and tasks live.

    Where an exchange or a coin fails it can, and is degraded.
    """
    readiness: Readiness = request.app.state.readiness
    faults = readiness.faults()
    if faults:
        return problem_response(503, problem(503, "not_ready", "; ".join(faults)))
    reasons = readiness.reasons()
    return JSONResponse({"status": "degraded", "reasons": reasons} if reasons else {"status": "ok"})


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
