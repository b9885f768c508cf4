"""Addresses are read as people write them, and anything else is refused with a reason."""

import pytest

from backend.addresses import format_address, format_addresses, parse_address, parse_addresses
from shared.errors import Refused


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (" lab-3:65535 ", ("lab-3", 65_535)),
        ("[::1]:7400", ("::1", 7400)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert format_address(address) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "host", ":80", "host:", "host:0", "host:65536", "host:x", "::1:80", "host:٣"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_address(text)


def test_a_list_keeps_its_order_and_drops_repetitions() -> None:
    addresses = parse_addresses("b:2, a:1,,b:2")
    assert addresses == (("b", 2), ("a", 1))
    assert format_addresses(addresses) == "b:2,a:1"
    with pytest.raises(Refused):
        parse_addresses(" , ")
