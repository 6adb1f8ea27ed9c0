"""Networks: one encoder, one folder per architecture, one solver of sizes. No Ray, no Gymnasium.

To add an architecture: write its record (`whichgoal.models.architecture.Architecture`) and its
network (`whichgoal.models.contract.Core`), and add its line to `MODELS`, or, in a package of your
own, an entry point of the group `whichgoal.models`, name -> "module:RECORD".
"""

from __future__ import annotations

MODELS: dict[str, str] = {
    "mlp": "whichgoal.models.mlp:ARCHITECTURE",
    "lstm": "whichgoal.models.lstm:ARCHITECTURE",
    "gtrxl": "whichgoal.models.gtrxl:ARCHITECTURE",
    "planner": "whichgoal.models.planner:ARCHITECTURE",
    "vin": "whichgoal.models.vin:ARCHITECTURE",
}
"""Name -> where its record is, "module:RECORD"; `whichgoal.models.registry` finds it."""
