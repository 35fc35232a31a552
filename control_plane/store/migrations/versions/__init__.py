"""One file per revision, in their order. A released one is never changed again."""
