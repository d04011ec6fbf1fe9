"""Training: loop, optimizer, schedules, checkpoints, alarms."""
