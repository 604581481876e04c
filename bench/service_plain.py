"""
The service as it is written in an afternoon: FastAPI, a list of clients, ``send_json``.

It has the candles in memory as a pandas frame, which is read from the file that is named on the command
line, and as the list of dicts that the frame gives. That list costs nothing when a request comes, so that
only what every JSON endpoint does is measured: encoding and sending.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from pathlib import Path

import pyarrow as pa
import uvicorn
import uvloop
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from service_feed import SETTLE_S, paced, update

BATCH_ROWS = 1_000

app = FastAPI()
clients: list[WebSocket] = []


@app.websocket("/ws")
async def broadcast(websocket: WebSocket) -> None:
    """A client of the feed."""
    await websocket.accept()
    clients.append(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        clients.remove(websocket)


@app.post("/bench/feed")
async def feed(rate: float, seconds: float, *, once: bool = False) -> dict[str, float]:
    """Tell all clients of updates for some seconds; each encoded anew for each of them, or ``once``."""
    began, published = time.process_time(), 0
    async for number in paced(rate, seconds):
        channel, row = update(number)
        message = {"type": "realtime_data", "channel": channel, "exchange": row["exchange"], "symbol": row["symbol"]}
        if channel == "candles":
            message["interval"] = row["interval"]
        message["data"] = row
        if once:
            text = json.dumps(message, separators=(",", ":"))
            for client in clients:
                await client.send_text(text)
        else:
            for client in clients:
                await client.send_json(message)
        published += 1
    await asyncio.sleep(SETTLE_S)
    return {"cpu": time.process_time() - began, "published": published}


@app.websocket("/candles")
async def candles(websocket: WebSocket) -> None:
    """All candles in batches, whenever the client says something."""
    await websocket.accept()
    rows, frame = app.state.rows, app.state.frame
    try:
        while True:
            wanted = await websocket.receive_text()
            for at in range(0, len(frame), BATCH_ROWS):
                if wanted == "rows":
                    batch = rows[at : at + BATCH_ROWS]
                else:
                    batch = frame.iloc[at : at + BATCH_ROWS].to_dict("records")
                await websocket.send_json({"rows": batch})
    except WebSocketDisconnect:
        pass


@app.get("/bulk")
async def bulk() -> Response:
    """The whole file."""
    return Response(app.state.content, media_type="application/vnd.apache.arrow.stream")


def main() -> None:
    """Serve what the Arrow stream in a file holds."""
    app.state.content = Path(sys.argv[1]).read_bytes()
    frame = pa.ipc.open_stream(app.state.content).read_all().to_pandas()
    for name in ("open_time", "close_time"):
        frame[name] = frame[name].astype("int64") // 1_000_000
    app.state.frame, app.state.rows = frame, frame.to_dict("records")
    bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(bound.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    uvloop.run(server.serve(sockets=[bound]))


if __name__ == "__main__":
    main()
