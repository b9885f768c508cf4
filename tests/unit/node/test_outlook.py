"""What a worker tells of itself."""

import pytest

from worker.outlook import public_address


@pytest.mark.parametrize(
    ("listens", "advertised", "public"),
    [
        ("0.0.0.0:7480", ("192.168.1.11", 7400), "192.168.1.11:7480"),
        ("[::]:7480", ("fd00::5", 7400), "[fd00::5]:7480"),
        ("192.168.1.9:7480", ("192.168.1.11", 7400), "192.168.1.9:7480"),
        ("127.0.0.1:7480", ("192.168.1.11", 7400), "127.0.0.1:7480"),
    ],
)
def test_a_monitor_on_every_address_is_found_at_the_worker_s_own(
    listens: str, advertised: tuple[str, int], public: str
) -> None:
    assert public_address(listens, advertised) == public
