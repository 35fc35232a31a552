"""What a job learns from: text, tokens, and the order of the samples."""
