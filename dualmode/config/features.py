"""Decides: etcd 3.6's `--feature-gates`, and the flags that said the same before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dualmode.config.kinds import SWITCH
from dualmode.config.values import Values

#: Gate -> the stage that AllAlpha and AllBeta go by.
GATES: Final = {
    "InitialCorruptCheck": "AllAlpha",
    "CompactHashCheck": "AllAlpha",
    "LeaseCheckpoint": "AllAlpha",
    "LeaseCheckpointPersist": "AllAlpha",
    "StopGRPCServiceOnDefrag": "AllAlpha",
    "SetMemberLocalAddr": "AllAlpha",
    "PriorityRequest": "AllAlpha",
    "TxnModeWriteWithSharedBuffer": "AllBeta",
    "FastLeaseKeepAlive": "AllBeta",
}


def parse_gates(parts: Iterable[str]) -> dict[str, bool]:
    """`Name=true` parts. Raises ValueError in etcd's words."""
    gates: dict[str, bool] = {}
    for part in parts:
        name, separator, text = part.partition("=")
        if not separator:
            raise ValueError(f"missing bool value for feature gate: {part}")
        if name not in GATES and name not in ("AllAlpha", "AllBeta"):
            raise ValueError(f"unrecognized feature gate: {name}")
        try:
            gates[name] = SWITCH.parse(text.strip())
        except ValueError as error:
            raise ValueError(f"invalid value of {name}: {error}") from None
    return gates


def is_enabled(values: Values, gate: str, option: str) -> bool:
    """By its gate, else by the stage's gate, else by the older flag. A flag that was given and says yes is enough."""
    gates = parse_gates(values["feature-gates"])
    by_gate = gates.get(gate, gates.get(GATES[gate]))
    if by_gate is None or values.is_given(option):
        return bool(by_gate) or bool(values[option])
    return by_gate
