"""The scheduler's reason as a document: what is stored with a waiting gang and what is shown."""

from __future__ import annotations

from typing import Any

from scheduler.explain.explain import Explanation


def wait_document(explanation: Explanation) -> dict[str, Any]:
    """Plain JSON: code, sentence, removals and ways out."""
    return {
        "code": explanation.code.value,
        "sentence": explanation.sentence,
        "removals": [
            {"code": removal.code.value, "message": removal.message, "chips": dict(removal.chips)}
            for removal in explanation.removals
        ],
        "unblock": list(explanation.unblock),
    }
