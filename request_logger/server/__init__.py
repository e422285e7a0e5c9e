"""HTTP in and out: gunicorn master and worker, routes, the fast path, responses."""
