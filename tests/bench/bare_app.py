"""The least that could take jobs in: FastAPI over SQLite, without users, checks or a scheduler.

The yardstick of `tests/bench/api.py`: WAL with `synchronous=FULL`, `def` routes, one worker, the
same body model, one insert and one commit for a submit, one select for a read.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import threading
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from penstock.api.specs import JobSpec

SCHEMA = "CREATE TABLE IF NOT EXISTS job (number INTEGER PRIMARY KEY, id TEXT UNIQUE, spec TEXT)"


def build(database: str) -> FastAPI:
    app = FastAPI()
    local = threading.local()

    def connection() -> sqlite3.Connection:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(database, timeout=30)
            local.connection.execute("PRAGMA journal_mode=WAL")
            local.connection.execute("PRAGMA synchronous=FULL")
            local.connection.execute(SCHEMA)
        found: sqlite3.Connection = local.connection
        return found

    def seen(row: tuple[str, str]) -> dict[str, Any]:
        return {"id": row[0], "spec": json.loads(row[1])}

    @app.post("/jobs", status_code=201)
    def submit(spec: JobSpec) -> dict[str, str]:
        job_id = uuid.uuid4().hex
        with connection() as db:
            db.execute(
                "INSERT INTO job (id, spec) VALUES (?, ?)",
                (job_id, spec.model_dump_json(exclude_none=True)),
            )
        return {"id": job_id}

    @app.get("/jobs")
    def jobs(limit: int = 50) -> list[dict[str, Any]]:
        query = "SELECT id, spec FROM job ORDER BY number DESC LIMIT ?"
        return [seen(row) for row in connection().execute(query, (limit,))]

    @app.get("/jobs/{job_id}", response_model=None)
    def job(job_id: str, request: Request) -> Response | dict[str, Any]:
        if request.headers.get("if-none-match") == f'"{job_id}"':
            return Response(status_code=304)
        row = connection().execute("SELECT id, spec FROM job WHERE id = ?", (job_id,)).fetchone()
        return seen(row)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(build(given.database), host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
