"""Reading the host itself: PCI, sockets, limits, measured rates. No vendor is named here."""
