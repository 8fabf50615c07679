"""Lets these tests start a real agent, as those of the agent itself do."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "hardware"))
