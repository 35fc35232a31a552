"""What a terminal is shown: safe text, colours, a status line, two outputs."""
