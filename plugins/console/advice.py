"""Advice: what a person can do at the command line about a failure of a provider."""

from collections.abc import Mapping

ADVICE: Mapping[str, str] = {
    "provider.authentication": "`dovetail setup` takes another key, and tries it",
    "provider.unreachable": "`dovetail doctor --network` asks each provider whether it "
    "is there",
}
"""By the code of the failure. Most messages name the next step themselves."""
