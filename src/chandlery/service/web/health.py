"""Whether the service is alive, ready, and how it is doing."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from chandlery.service.errors import problem, problem_response, refusals

routes = APIRouter(tags=["health"])


class Health(BaseModel):
    """How it is."""

    status: str = Field(examples=["ok"])


@routes.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers."""
    return Health(status="ok")


@routes.get("/readyz", response_model=Health, responses=refusals(503))
async def readyz(request: Request) -> Response:
    """Say if it can work: the database takes what is collected, and its threads live."""
    failure = request.app.state.database.failure
    if failure is not None:
        return problem_response(503, problem(503, "not_ready", str(failure)))
    return JSONResponse({"status": "ok"})


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
