"""Python imports this by itself in every process that has this folder on PYTHONPATH: children of tests are guarded."""

import os

import offline_guard

if os.environ.get(offline_guard.LOG):
    offline_guard.install()
