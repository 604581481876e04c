"""What the OpenAPI document promises, judged by schemathesis: a client of its own, over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
import sys

import pytest

from fixtures.processes import output_of, serving_process

TIMEOUT_S = 100
JSON = {"Content-Type": "application/json"}
COMMAND = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
OPTIONS = {
    "phases": "examples,coverage,fuzzing,stateful",
    # A text of the right form may still name no symbol or moment: 422 is the right answer then.
    "exclude-checks": "positive_data_acceptance",
    "suppress-health-check": "all",
    "request-timeout": 60,
}
FLAGS = ["--generation-deterministic", "--no-shrink", "--continue-on-failure", "--no-color"]


async def judged(url, folder, *more, **options):
    """The exit code of a run, and what it says."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in (OPTIONS | options).items()]
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        f"{url}/openapi.json",
        *given,
        *FLAGS,
        *more,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode, out.decode()


async def token_of(service, data_dir):
    """A token for a new client."""
    _, told = await output_of("auth", "create-client", "bot", "--scope", "admin", "--data-dir", data_dir, "--json")
    async with service.session.post("/token", data={"grant_type": "client_credentials", **json.loads(told)}) as answer:
        return (await answer.json())["access_token"]


async def test_the_examples_of_the_document(tmp_path):
    """Each endpoint answers its own examples as documented; the long run asks much more."""
    async with serving_process(tmp_path / "data", "--no-auth") as service:
        code, said = await judged(service.url, tmp_path, phases="examples", max_examples=1)

    assert 0 == code, said
    assert "Operations:" in said or "Tested:" in said


@pytest.mark.parametrize("path", ["/token", "/revoke", "/v1/coins"])
@pytest.mark.parametrize("body", [b"", b"x" * ((1 << 20) + 1)], ids=["no body", "a body over 1 MiB"])
async def test_a_refused_body_is_documented(running, path, body):
    """Also what is refused before the endpoint is reached."""
    _, session = running
    async with session.get("/openapi.json") as answer:
        documented = (await answer.json())["paths"][path]["post"]["responses"]
    async with session.post(path, data=io.BytesIO(body), headers=JSON) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert str(answer.status) in documented
    assert "application/problem+json" in documented[str(answer.status)]["content"]
    assert answer.status == problem["status"]


@pytest.mark.soak
@pytest.mark.parametrize("with_tokens", [False, True], ids=["open to all", "with tokens"])
async def test_the_document_is_kept(tmp_path, with_tokens):
    """No 5xx; each status, content type, header and body as documented, whatever is asked, with a token and without."""
    data_dir = tmp_path / "data"
    async with serving_process(data_dir, *([] if with_tokens else ["--no-auth"])) as service:
        if with_tokens:
            header = f"--header=Authorization: Bearer {await token_of(service, data_dir)}"
            own = {"include_path_regex": "^/v1/", "max_examples": 3, "phases": "examples,fuzzing"}
            code, said = await judged(service.url, tmp_path, header, **own)
        else:
            code, said = await judged(service.url, tmp_path, max_examples=12)

    assert 0 == code, said
    assert f"Tested: {10 if with_tokens else 19}" in said
