"""Between text and tokens: prompts, conversations, what was generated."""
