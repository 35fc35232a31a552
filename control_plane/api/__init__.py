"""The REST API: one router per noun; each route parses, calls one service and renders."""
