"""The serving engine: continuous batching over a paged cache behind the OpenAI API."""
