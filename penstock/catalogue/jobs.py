"""What is told of jobs, their replicas and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TROUBLES: Final = "[; {troubles}][; {more} more ended, too]"

JOBS: Final[Mapping[str, str]] = {
    "said": "{said}",
    # Jobs and gangs
    "submitted": "waits for the next scheduling cycle",
    "submitted_by": "submitted by {by}",
    "waits": "waits ({why:words}); details: penstock job explain {job}[; {last}]",
    "placed": "attempt {attempt} placed: {chips} on {nodes:listed}[ and {more} more]",
    "running": "{replicas} of {replicas} replicas run",
    "replica_runs": "attempt {attempt} of replica {replica} runs",
    "serving": "{running} of {replicas} replicas run[, {ready} {ready:is|are} ready]" + _TROUBLES,
    "completed": "all replicas completed",
    "cancelled": "cancelled by {by}[: {because}]",
    "preempted": "makes room for {by_job}, whose priority is {priority} against {victim_priority}",
    "drained": "node {node} is being drained",
    "node_silent": "node {node} is silent",
    "peer_lost": "rank {rank} lost contact with its peers",
    "attempt_failed": "{whose}: {cause}[; {end}]",
    "next_attempt": "{last}; attempt {attempt} waits for its place",
    "next_attempt_at": "{last}; attempt {attempt} can start from {at:time} on",
    # How an attempt ended
    "attempt_ended": "attempt {attempt} ended[ ({how})]: {message}[ ({failures})]",
    "attempt_preempted": "attempt {attempt} was preempted: {message}[ ({failures})]",
    "attempt_stopped": "attempt {attempt} was stopped: {message}[ ({failures})]",
    "ending": "{reason:words}[, exit code {exit_code}]",
    "failures": "failures so far: {counts}",
    "own_failures": "{count} by itself[, {left}]",
    "infrastructure_failures": "{count} by the infrastructure[, {left}]",
    "tries_left": "{tries} {tries:try|tries} left",
    "tries_left_after": "{tries} {tries:try|tries} left after this one",
    "not_its_own_fault": "{message}; with this code it says that the fault was not its own",
    "final": "another try would end the same",
    "faults_in_a_row": "given up after {count} such faults in a row without getting further",
    "failed_starts": "given up after {count} failed starts in a row",
    "failed_tries": "given up after {count} failures",
    # Replicas
    "rank": "rank {rank} on node {node}[ ({chips})]",
    "replica": "replica {replica} on node {node}[ ({chips})]",
    "chips": "{chips:chips}",
    "host_cores": "host cores only",
    "hosts_cores": "{replicas} × host cores only",
    "of_replica": "{whose}: {message}",
    "assigned": "placed",
    "stopping_since": "stopping: {why}",
    "stopped": "stopped: {why}",
    "exit_code": "exit code {exit_code}",
    "exited": '{cause}[; last line of its log: "{last_line}"]',
    "lease_expired": "the node was not heard of until the lease ended",
    "never_ready": "it did not answer GET /health with 200 within {within_s} s of its start",
    "never_placed": "has no output: it ended before it was placed",
    "no_such_attempt": "had no attempt {attempt}: there were {attempts}",
    "no_such_rank": "had no rank {rank}[ in attempt {of}]: there were {ranks} "
    "(attempts: {attempts})",
    "lease_ended": "lease[ of {whose}] {state}",
    "checkpoint": "checkpoint at step {step}",
    "checkpoint_damaged": "the checkpoint at step {step} cannot be used ({why}): training goes on "
    "from step {older}",
    "goes_on_from": "the next attempt goes on from the checkpoint at step {step}",
    # Where a job is
    "job_is": "{job} is {state}: {message}[; {held}][; {attempts}]",
    "attempts": "it took {attempts} attempts",
    "in_attempt": "{whose} is in attempt {attempt}: {last}",
    "no_further_attempt": "{whose} has no further attempt: {last}",
    "it": "it",
    "the_replica": "replica {replica}",
    "ranks": "{num:rank|ranks} {ranks:listed}[ and {more} more]",
    "held_by_silent": "{who} {num:is|are} on {held}, then {then}",
    "silent_node": "node {node}, unheard of since {since:moment}; "
    "{leases:its lease ends|the last of its leases ends} at {ends:moment}",
    "silent_node_of_owner": "node {node}, unheard of since {since:moment}; "
    "held until {launcher} says that nothing runs there any more",
    "job_ends": "the job ends",
    "job_given_up": "the job is given up",
    "cancellation_done": "its cancellation is done",
    "starts_elsewhere": "the job starts elsewhere",
    "job_waits": "{job}: [{serving}; ]{why}[; {last}]",
    "replica_waits": "replica {replica}: {why}",
    "can_start": "can start now: the next scheduling cycle places it",
    "still_serving": "{running} of {replicas} replicas serve",
    # Endpoints
    "none_ready": "no replica is ready yet",
    "replicas_ready": "{ready} of {replicas} replicas are ready" + _TROUBLES,
    "job_over": "the serving job {job} is {state}: {message}",
}
