"""One repository per noun: what is read and written of its rows."""
