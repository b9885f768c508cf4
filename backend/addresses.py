"""Addresses of workers as people write them: HOST:PORT, [IPv6]:PORT, several with commas."""

from collections.abc import Sequence

from shared.errors import Refused

Address = tuple[str, int]
"""Host (a name or a number) and TCP port."""

ADVICE = "Write it as HOST:PORT, for example 192.168.1.20:7400."


def parse_address(text: str) -> Address:
    """The address that `text` names. Raises `Refused` for anything but HOST:PORT."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise Refused(f"{text!r} is not an address.", "Write an IPv6 address as [ADDRESS]:PORT.")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise Refused(f"{text!r} is not the address of a worker.", ADVICE)
    return host, int(port)


def parse_addresses(text: str) -> tuple[Address, ...]:
    """The addresses in a list with commas, in its order, each once. Raises `Refused`, also for an empty list."""
    addresses = tuple(dict.fromkeys(parse_address(part) for part in text.split(",") if part.strip()))
    if not addresses:
        raise Refused("No address of a worker was given.", ADVICE)
    return addresses


def format_address(address: Address) -> str:
    """The inverse of `parse_address`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def format_addresses(addresses: Sequence[Address]) -> str:
    """The inverse of `parse_addresses`."""
    return ",".join(format_address(address) for address in addresses)
