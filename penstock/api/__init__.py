"""Types that cross the network between Penstock's parts. No logic beyond validation."""
