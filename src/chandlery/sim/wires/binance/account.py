"""
Binance's responses to signed requests.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security and the
account pages of spot, margin and the futures.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from chandlery.sim.accounts import Account, Accounts, hmac_sha256
from chandlery.sim.reply import Reply, error_reply, json_reply
from chandlery.sim.wire import SimRequest

_RECV_WINDOW_MS = 5000
_EARLY_MS = 1000

_Answer = Callable[[Account], Any]


def signed_answer(exchange: str, accounts: Accounts, request: SimRequest, now_ms: int) -> Reply | None:
    """Return the response to a request that needs an account; ``None`` for any other."""
    answer = _ANSWERS.get(request.path)
    if answer is None:
        return None
    account = accounts.find(exchange, request.headers.get("x-mbx-apikey", ""))
    return _refusal(account, request, now_ms) or json_reply(answer(account) if account else {})


def _refusal(account: Account | None, request: SimRequest, now_ms: int) -> Reply | None:
    if account is None:
        return error_reply(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    text = request.text_query
    signed, _, signature = text.rpartition("&signature=")
    if not hmac.compare_digest(hmac_sha256(account, signed), signature):
        return error_reply(-1022, "Signature for this request is not valid.")
    moment = request.query.get("timestamp", "")
    if not moment.isdecimal():
        return error_reply(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    window = request.query.get("recvWindow", str(_RECV_WINDOW_MS))
    age = now_ms - int(moment)
    if age < -_EARLY_MS:
        return error_reply(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if age > int(window):
        return error_reply(-1021, "Timestamp for this request is outside of the recvWindow.")
    return None


def _spot(account: Account) -> Any:
    balances = [{"asset": asset, "free": free, "locked": "0.00000000"} for asset, free in account.balances.items()]
    return {"canTrade": True, "accountType": "SPOT", "balances": balances, "permissions": ["SPOT"], "uid": 354937868}


def _coins(account: Account) -> Any:
    return [
        {"coin": asset, "name": asset, "free": free, "locked": "0", "depositAllEnable": True, "withdrawAllEnable": True, "trading": True, "isLegalMoney": False, "networkList": []}
        for asset, free in account.balances.items()
    ]  # fmt: skip


def _margin(account: Account) -> Any:
    assets = [
        {"asset": asset, "free": free, "locked": "0", "borrowed": "0", "interest": "0", "netAsset": free}
        for asset, free in account.balances.items()
    ]
    return {"borrowEnabled": True, "marginLevel": "999", "tradeEnabled": True, "userAssets": assets}


def _futures(account: Account) -> Any:
    assets = [
        {"asset": asset, "walletBalance": free, "marginBalance": free, "availableBalance": free, "initialMargin": "0", "maintMargin": "0", "unrealizedProfit": "0", "crossWalletBalance": free}
        for asset, free in account.balances.items()
    ]  # fmt: skip
    return {"assets": assets, "positions": []}


def _nothing(account: Account) -> Any:  # noqa: ARG001  # every account has none
    return []


_ANSWERS: dict[str, _Answer] = {
    "/api/v3/account": _spot,
    "/sapi/v1/capital/config/getall": _coins,
    "/sapi/v1/margin/account": _margin,
    "/sapi/v1/margin/allPairs": _nothing,
    "/sapi/v1/margin/isolated/allPairs": _nothing,
    "/fapi/v2/account": _futures,
    "/fapi/v3/account": _futures,
    "/fapi/v2/positionRisk": _nothing,
    "/fapi/v3/positionRisk": _nothing,
    "/fapi/v1/leverageBracket": _nothing,
    "/dapi/v1/account": _futures,
    "/dapi/v1/positionRisk": _nothing,
    "/dapi/v2/leverageBracket": _nothing,
}
