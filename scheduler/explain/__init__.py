"""Why a gang waits and what would let it start: on demand, for one gang."""

from scheduler.explain.explanation import Explanation as Explanation
from scheduler.explain.explanation import explain as explain
