"""Who may ask for what is not public."""

from __future__ import annotations

from chandlery.sim.accounts import Account, Accounts, hmac_sha256


def test_an_account_is_found_where_it_is():
    """A key is one at its own exchange alone, or anywhere; every key that is offered is remembered, also wrong ones."""
    here, anywhere = Account("a", "s", exchange="binance"), Account("b", "s")
    accounts = Accounts([here, anywhere])

    assert here is accounts.find("binance_spot", "a")
    assert accounts.find("okx_spot", "a") is None
    assert anywhere is accounts.find("okx_spot", "b")
    assert accounts.find("okx_spot", "wrong") is None
    assert [("binance_spot", "a"), ("okx_spot", "a"), ("okx_spot", "b"), ("okx_spot", "wrong")] == list(
        accounts.offered
    )


def test_the_signature_is_the_documented_one():
    """Binance's documentation gives this example."""
    account = Account(
        "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    )
    text = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )

    assert "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71" == hmac_sha256(account, text)
