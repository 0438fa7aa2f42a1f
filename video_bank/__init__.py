"""A bank branch over video: queue, identification face to face, recording, evidence."""
