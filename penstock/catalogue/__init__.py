"""The one place where codes become English: a table per area, filled in by `render`."""

from penstock.catalogue.problems import HINTS as HINTS
from penstock.catalogue.render import TEXTS as TEXTS
from penstock.catalogue.render import render as render
from penstock.catalogue.render import render_hint as render_hint
