"""How the ranks of a gang reach each other."""
