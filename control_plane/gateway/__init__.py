"""The OpenAI-compatible entry: from an endpoint's name to a ready replica on any chip."""
