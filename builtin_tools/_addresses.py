"""Addresses: which ones are of the public internet, and which hosts a person named.

Pure. Owns the one answer for every IP address, also for those that carry another one:
whoever connects to an address asks here about that very address. From the registries
of special addresses of the IANA (RFC 6890, updated by RFC 8190) and RFC 4291, 6052,
3056 and 4380. Knows nothing of names and connections.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal

from attrs import frozen

Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

Kind = Literal["public", "private", "never"]
"""``private``: of this machine or its own network, which a person may open by the name
of a host. ``never``: no website is there, whatever the name."""


def _networks(words: dict[str, str]) -> tuple[tuple[str, _Network], ...]:
    return tuple(
        (word, ip_network(one)) for word, them in words.items() for one in them.split()
    )


_NEVER = _networks(
    {
        # They hand out keys of the machine's owner to whoever asks.
        "metadata": "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 "
        "168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254",
        # Ways around: what they lead to is decided by others.
        "6to4": "2002::/16",
        "Teredo": "2001::/32",
        "locally translated": "64:ff9b:1::/48",
        "unspecified": "0.0.0.0/8 ::",
        "link-local": "169.254.0.0/16 fe80::/10",
        "multicast": "224.0.0.0/4 ff00::/8",
        "broadcast": "255.255.255.255",
        "documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 "
        "3fff::/20",
        "reserved": "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 "
        "192.175.48.0/24 198.18.0.0/15 240.0.0.0/4 100::/64 100:0:0:1::/64 "
        "2001::/23 2620:4f:8000::/48 5f00::/16 fec0::/10",
    }
)
_PRIVATE = _networks(
    {
        "loopback": "127.0.0.0/8 ::1",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "shared": "100.64.0.0/10",
    }
)
_CARRIERS = (
    # Mapped, compatible (both RFC 4291), translated (RFC 2765, RFC 6052).
    *(ip_network(one) for one in ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96")),
    ip_network("64:ff9b::/96"),
)
_GLOBAL_V6 = ip_network("2000::/3")


def kind_of(address: Address) -> tuple[Kind, str]:
    """Return of which kind an address is, and the word for it."""
    for kind, networks in (("never", _NEVER), ("private", _PRIVATE)):
        for word, network in networks:
            if address.version == network.version and address in network:
                return kind, word  # type: ignore[return-value]
    if isinstance(address, IPv4Address):
        return "public", "public"
    carried = _carried(address)
    if carried is not None:
        return kind_of(carried)
    if address not in _GLOBAL_V6:
        return "never", "reserved"
    return "public", "public"


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in this one, by which its packets are delivered."""
    value = int(address)
    if any(address in network for network in _CARRIERS):
        return IPv4Address(value & 0xFFFF_FFFF)
    # ISATAP (RFC 5214): the last 64 bits are 0000:5efe or 0200:5efe and an address.
    if value >> 32 & 0xFDFF_FFFF == 0x5EFE:
        return IPv4Address(value & 0xFFFF_FFFF)
    return None


def address_of(text: str) -> Address:
    """Return an address as a resolver writes it, perhaps with an interface after it.

    Raises:
        ValueError: it is none.
    """
    return ip_address(text.partition("%")[0])


# --- hosts that a person named ----------------------------------------------------

_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")


@frozen
class Hosts:
    """Hosts by name, each with one port or with all."""

    _named: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Hosts":
        """Return the hosts of entries like ``wiki.lan``, ``localhost:3000``, ``[::1]``.

        Raises:
            ValueError: an entry is neither; the text is the entry.
        """
        named: set[tuple[str, int | None]] = set()
        for entry in entries:
            found = _HOST.fullmatch(entry.lower())
            if found is None:
                raise ValueError(entry)
            host = found["host"].strip("[]").removesuffix(".")
            if ":" in host:
                host = str(IPv6Address(host))
            named.add((host, int(found["port"]) if found["port"] else None))
        return cls(frozenset(named))

    def holds(self, host: str, port: int) -> bool:
        """Return whether this host is named, for this port."""
        return (host, None) in self._named or (host, port) in self._named
