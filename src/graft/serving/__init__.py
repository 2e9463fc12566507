"""The service: a front process that speaks HTTP, and a worker process that holds the classifier."""
