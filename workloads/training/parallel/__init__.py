"""How a step is split over ranks of unequal speed and added up again."""
