"""Machines that run agents: their enrolment, chips, health and intent."""
