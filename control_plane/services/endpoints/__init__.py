"""Stable addresses of serving jobs, and the replicas behind them."""
