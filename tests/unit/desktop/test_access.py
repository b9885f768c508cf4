"""Who may use the bridge, decided from a request's head alone."""

import pytest

from backend.desktop.access import Access
from shared.http1 import Head, Limits, parse_head
from shared.http_errors import Forbidden, MisdirectedRequest

ACCESS = Access(port=5005, token="right")


def head(**fields: str) -> Head:
    given = {"host": "127.0.0.1:5005"} | {name.replace("_", "-"): value for name, value in fields.items()}
    return parse_head("GET /api/files HTTP/1.1", list(given.items()), Limits())


def test_the_address_carries_the_token_where_browsers_send_it_to_nobody() -> None:
    assert ACCESS.address == "http://127.0.0.1:5005/#token=right"
    assert "right" not in repr(ACCESS)


def test_each_run_has_a_token_of_its_own() -> None:
    assert Access(1).token != Access(1).token
    assert len(Access(1).token) >= 40


@pytest.mark.parametrize(
    "host", ["localhost:5005", "127.0.0.1", "127.0.0.1:5006", "evil.example:5005", "[::1]:5005"]
)
def test_another_host_is_refused(host: str) -> None:
    with pytest.raises(MisdirectedRequest):
        ACCESS.check_place(head(host=host))


@pytest.mark.parametrize(
    "origin", ["null", "http://127.0.0.1:5006", "http://evil.example", "https://127.0.0.1:5005"]
)
def test_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(Forbidden):
        ACCESS.check_place(head(origin=origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_a_page_of_another_site_made_is_refused(site: str) -> None:
    with pytest.raises(Forbidden):
        ACCESS.check_place(head(sec_fetch_site=site))


def test_our_own_page_is_let_in() -> None:
    ours = head(origin="http://127.0.0.1:5005", sec_fetch_site="same-origin", x_minka_token="right")
    ACCESS.check_place(ours)
    ACCESS.check_token(ours)


@pytest.mark.parametrize("token", ["", "wrong", "righ", "right1", "\xe9"])
def test_a_wrong_token_is_refused(token: str) -> None:
    with pytest.raises(Forbidden):
        ACCESS.check_token(head(x_minka_token=token))
