"""Networks: one encoder, one file per architecture, one solver of sizes. No Ray, no Gymnasium.

`MODELS` names each architecture's class as "module:Class", so that reading the registry or the
sizes (`whichgoal.models.sizes`) does not import torch. `whichgoal.models.agent.core_class` is the
one place that resolves a name. To add an architecture: write its file, add its line here and its
arithmetic in `arithmetic.py`.
"""

from __future__ import annotations

MODELS: dict[str, str] = {
    "mlp": "whichgoal.models.mlp:MLP",
    "lstm": "whichgoal.models.lstm:LSTM",
    "gtrxl": "whichgoal.models.gtrxl:GTrXL",
    "planner": "whichgoal.models.planner:Planner",
    "vin": "whichgoal.models.vin:VIN",
}
